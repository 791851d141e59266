"""Hears what an audio file says, with pocketsphinx and the small English acoustic model in its package.

Argument: a file of any kind that ffmpeg reads. Prints one JSON object: the seconds of audio, and the words with their
times. The vocabulary is closed, in any order and number: the model was made for people, and hears a synthetic voice
reliably only so. A word out of place, missing or doubled still shows.
"""

import json
import subprocess
import sys
import tempfile

from pocketsphinx import Decoder

RATE = 16_000
GRAMMAR = """#JSGF V1.0;
grammar heard;
public <heard> = <word>+;
<word> = zero | one | two | three | four | five | six | seven | eight | nine;
"""


def samples(path):
    command = ["ffmpeg", "-v", "error", "-i", path, "-ac", "1", "-ar", str(RATE), "-f", "s16le", "-"]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True).stdout


def decoder():
    with tempfile.NamedTemporaryFile("w", suffix=".gram") as grammar:
        grammar.write(GRAMMAR)
        grammar.flush()
        # Less eager than usual to hear a word more: short ones fit into the end of many another.
        return Decoder(samprate=RATE, lm=None, jsgf=grammar.name, wip=0.2, loglevel="FATAL")


def words(decoder):
    """Without the silences and noises that the decoder marks, and without which pronunciation it chose."""
    for segment in decoder.seg() or []:
        if segment.word[0] not in "<[(":
            word = segment.word.partition("(")[0]
            yield {"word": word, "start": segment.start_frame / 100, "end": (segment.end_frame + 1) / 100}


def listen(path):
    pcm, hearing = samples(path), decoder()
    hearing.start_utt()
    hearing.process_raw(pcm, full_utt=True)
    hearing.end_utt()
    return {"seconds": len(pcm) / 2 / RATE, "words": list(words(hearing))}


json.dump(listen(sys.argv[1]), sys.stdout)
