"""A hub of the test's own: what huggingface.co answers, for one small model."""

import hashlib
import http.server
import json
import time

import psutil

REPO = "someone/tiny"


COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


PIECE = 2**18


class Server(http.server.ThreadingHTTPServer):
    """One model repository; counts what it sends of each file."""

    daemon_threads = True

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {p.name: p.read_bytes() for p in folder.iterdir()}
        self.sent = dict.fromkeys(self.files, 0)
        self.pause_s = 0.0
        self.refusals = []


class Handler(http.server.BaseHTTPRequestHandler):
    """What huggingface.co answers: the revision, its tree, the files."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        path = self.path.split("?")[0]
        if self.server.refusals:
            status, headers = self.server.refusals.pop(0)
            self.refuse(status, headers() if callable(headers) else headers)
        elif path == f"/api/models/{REPO}/revision/main":
            self.answer({"id": REPO, "sha": COMMIT, "siblings": []})
        elif path.startswith(f"/api/models/{REPO}/tree/"):
            self.answer([self.entry(name) for name in self.server.files])
        elif path.startswith(f"/{REPO}/resolve/"):
            self.file(path.split("/")[-1], body)
        else:
            self.answer({"error": "Repository not found"}, 404)

    def entry(self, name):
        content = self.server.files[name]
        return {"type": "file", "path": name, "size": len(content), "oid": tag(content)}

    def answer(self, content, status=200):
        plain = json.dumps(content).encode()
        self.send_response(status)
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(plain)))
        self.end_headers()
        self.wfile.write(plain)

    def refuse(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def file(self, name, body):
        content = self.server.files[name]
        start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        self.send_response(206 if start else 200)
        self.send_header("ETag", f'"{tag(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        for at in range(start, len(content) if body else start, PIECE):
            piece = content[at : at + PIECE]
            try:
                self.wfile.write(piece)
            except OSError:  # the client was stopped
                self.close_connection = True
                return
            self.server.sent[name] += len(piece)
            if name.endswith(".safetensors"):
                time.sleep(self.server.pause_s)


def tag(content):
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def gone(pid):
    """Whether a process ends within seconds; nobody may have asked for its status."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False
