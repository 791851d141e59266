"""Runs named SDK calls and prints one JSON object of what each gave: its result, or the SDK's own typed error.

Arguments: base URL, key, a WAV file to transcribe. Both come from the test, nothing from the environment.
"""

import hashlib
import json
import sys
import time

BASE_URL, KEY, RECORDING = sys.argv[1:4]


def audio(pieces):
    """Digest of streamed audio, and when its first and last piece came."""
    digest, size, arrivals = hashlib.sha256(), 0, []
    for piece in pieces:
        arrivals.append(time.time())
        digest.update(piece)
        size += len(piece)
    return {
        "sha256": digest.hexdigest(),
        "bytes": size,
        "first_at": arrivals[0] if arrivals else None,
        "last_at": arrivals[-1] if arrivals else None,
    }


def run(calls, describe_error):
    """Prints `{name: result}`; an error becomes its class, the classes above it, and what `describe_error` reads."""
    report = {}
    for name, call in calls.items():
        try:
            report[name] = {"result": call()}
        except Exception as error:
            classes = [kind.__name__ for kind in type(error).__mro__]
            report[name] = {"error": {"class": classes[0], "classes": classes, **describe_error(error)}}
    json.dump(report, sys.stdout)
