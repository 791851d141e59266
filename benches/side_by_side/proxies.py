"""What is compared: how each is configured, started on its core, proven to do the job, and stopped."""

import http.client
import json
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import callers
from gauges import Gauge

CONFIGS = Path(__file__).parent / "configs"
NGINX_MODULES = "/usr/lib/nginx/modules"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(command, core, **streams):
    """A process on one core that ends with this one, even if this one is killed."""
    pinned = ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(core), *map(str, command)]
    return subprocess.Popen(pinned, stdin=subprocess.DEVNULL, **streams)


def stop(process):
    """Asks, waits, and only then kills: what is still to be written gets its time."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Upstream:
    """The fake provider, and the way to it without a proxy."""

    name = "direct"
    direct = True
    calls = 0

    def __init__(self, binary, core):
        self.process = start([binary, "upstream"], core, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def stop(self):
        stop(self.process)


class Proxy:
    """One proxy under test. `configs` are filled in; the first is the one it is started with."""

    direct = False
    process = None
    calls = 0
    """How many have been made through it by the load."""

    def __init__(self, name, configs, command, root, checks_callers):
        self.name = name
        self.checks_callers = checks_callers
        self.port = free_port()
        self.admin_port = free_port()
        self.directory = Path(root, name.replace(", ", "-").replace(" ", "-"))
        self.log = self.directory / "log"
        self._configs = configs
        self._command = command

    def start(self, upstream, core):
        self.directory.mkdir()
        for config in self._configs:
            self._fill_in(config, upstream)
        self._write_callers()
        command = [*self._command, self.directory / self._configs[0]]
        with self.log.open("ab") as log:
            self.process = start(command, core, stdout=log, stderr=log, cwd=self.directory)
        self._wait_until_it_listens(self.port)
        self.gauge = Gauge(self.process.pid)

    def _fill_in(self, config, upstream):
        text = (CONFIGS / config).read_text()
        values = {
            "PORT": self.port, "ADMIN_PORT": self.admin_port, "UPSTREAM_PORT": upstream.port,
            "DIRECTORY": self.directory, "LOG": self.log, "NGINX_MODULES": NGINX_MODULES,
            "UPSTREAM_CA": getattr(upstream, "certificate", ""), "SECRET": callers.SECRET, "ISSUER": callers.ISSUER, "AUDIENCE": callers.AUDIENCE,
        }
        for name, value in values.items():
            text = text.replace(f"@{name}@", str(value))
        (self.directory / config).write_text(text)

    def _write_callers(self):
        end = ";" if self.name.startswith("nginx") else ""
        lines = (f"{user} {callers.key_of(user)}{end}\n" for user in callers.USERS)
        (self.directory / "keys").write_text("".join(lines))
        (self.directory / "jwt.secret").write_text(callers.SECRET)

    def _wait_until_it_listens(self, port):
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"{self.name} does not listen: {self.last_words()}")

    def last_words(self):
        return self.log.read_text(errors="replace")[-3000:]

    def logged(self):
        """How many lines of JSON it has written."""
        with self.log.open("rb") as log:
            return sum(isinstance(json.loads(line), dict) for line in log if line.startswith(b"{"))

    def prove(self):
        """One call for each of a few users: the right key must arrive, and without proof nothing may."""
        for user in callers.USERS[::333]:
            expected = callers.key_of(user) if self.checks_callers else callers.STATIC_KEY
            status, body = self._ask(callers.token_of(user))
            if status != 200 or json.loads(body)["key"] != expected:
                raise RuntimeError(f"{self.name} called with the wrong key for {user}: {status} {body!r}")
        if self.checks_callers:
            user = callers.USERS[0]
            unproven = [callers.token_of(user, secret="another"), callers.token_of(user, lifetime=-120), "junk"]
            for token in unproven:
                status, body = self._ask(token)
                if status != 401:
                    raise RuntimeError(f"{self.name} let an unproven caller through: {status} {body!r}")

    def _ask(self, token):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/elevenlabs/v1/user/subscription", headers={"authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def stop(self):
        if self.process:
            stop(self.process)


class Voxgate(Proxy):
    """Keys are not in a file: each user stores theirs, which the gateway has the provider confirm."""

    def __init__(self, binary, root, name="voxgate", providers=("elevenlabs",), config="voxgate.toml"):
        super().__init__(name, [config], [binary, "serve", "--config"], root, True)
        self._providers = providers

    def start(self, upstream, core):
        super().start(upstream, core)
        self._wait_until_it_listens(self.admin_port)
        with ThreadPoolExecutor(8) as pool:
            for provider in self._providers:
                list(pool.map(partial(self._store_key, provider), callers.USERS))

    def _store_key(self, provider, user):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=20)
        connection.request(
            "PUT", f"/api/v1/credentials/{provider}", body=json.dumps({"api_key": callers.key_of(user)}),
            headers={"authorization": f"Bearer {callers.token_of(user)}", "content-type": "application/json"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 201:
            raise RuntimeError(f"storing the key of {user} was answered {answer.status}: {body!r}")

    def recorded(self):
        """What the gateway says became of its usage events: `{result: how many}`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=20)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        found = [line.split() for line in lines if line.startswith("voxgate_usage_events_total{")]
        return {labels.split('"')[1]: int(float(count)) for labels, count in found}


class OverTls(Proxy):
    """nginx in front of the upstream, for a provider that speaks TLS as all real ones do."""

    def __init__(self, root):
        super().__init__("TLS", ["nginx-tls.conf"], ["nginx", "-c"], root, False)
        self.certificate = self.directory / "certificate.pem"

    def _write_callers(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE",
             "-keyout", self.directory / "certificate.key", "-out", self.certificate],
            check=True, stderr=subprocess.DEVNULL)


def compared(voxgate_binary, root):
    """Every proxy, in the order of the report."""
    nginx, haproxy = ["nginx", "-c"], ["haproxy", "-db", "-f"]
    return [
        Voxgate(voxgate_binary, root),
        Proxy("nginx, same job", ["nginx.conf", "jwt.js"], nginx, root, True),
        Proxy("HAProxy, same job", ["haproxy.cfg"], haproxy, root, True),
        Proxy("nginx, bare", ["nginx-bare.conf"], nginx, root, False),
        Proxy("HAProxy, bare", ["haproxy-bare.cfg"], haproxy, root, False),
    ]
