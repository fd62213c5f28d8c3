"""Small programs that call the API as a partner's own scripts do, for the demonstration and the tests.

Each takes a token and then URLs, calls them one after the other, and prints each answer's status code. They
know nothing of a proxy: what `mfa-audit run` puts into their environment is all that they look at.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PYTHON: Final = """\
import sys
import urllib.error
import urllib.request

token, *urls = sys.argv[1:]
for url in urls:
    request = urllib.request.Request(url, headers={"Authorization": "Bearer " + token})
    try:
        print(urllib.request.urlopen(request, timeout=20).status)
    except urllib.error.HTTPError as error:
        error.read()
        print(error.code)
"""

# Node's own clients ignore HTTPS_PROXY before version 24, so this one asks for its tunnel itself.
NODE: Final = """\
const http = require('http'), https = require('https'), tls = require('tls');
const start = process.argv.findIndex(word => word.startsWith('ey'));
const [token, ...urls] = process.argv.slice(start);
const proxy = new URL(process.env.HTTPS_PROXY);

function call(url) {
  return new Promise((resolve, reject) => {
    http.request({host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: url.hostname + ':443'})
      .on('error', reject)
      .on('connect', (_, socket) => https.get(url, {
        createConnection: () => tls.connect({socket, servername: url.hostname}),
        defaultPort: 443, // without an agent Node thinks it is 80, and writes the port into Host
        headers: {Authorization: 'Bearer ' + token, 'User-Agent': 'node/' + process.versions.node},
      }, answer => {
        console.log(answer.statusCode);
        answer.resume().on('end', () => { socket.destroy(); resolve(); });
      }).on('error', reject))
      .end();
  });
}

urls.reduce((before, url) => before.then(() => call(new URL(url))), Promise.resolve())
  .catch(error => { console.error(error.code || error.message); process.exitCode = 1; });
"""


def write_script(folder: Path, name: str, token: str, urls: Sequence[str]) -> list[str]:
    """Write a script called `name` to `folder`, for Node where it ends in `.js` and else for Python.

    The command line that runs it.
    """
    script = folder / name
    script.write_text(NODE if name.endswith(".js") else PYTHON, encoding="utf-8")
    interpreter = "node" if name.endswith(".js") else sys.executable
    return [interpreter, str(script), token, *urls]


def curl(token: str, urls: Sequence[str]) -> list[str]:
    """The command line of a curl that calls all `urls`."""
    return ["curl", "--silent", "--show-error", "--header", f"Authorization: Bearer {token}", *urls]


def has_node() -> bool:
    """Whether this machine has Node."""
    return shutil.which("node") is not None


def has_curl() -> bool:
    """Whether this machine has a curl that takes its roots from the environment.

    Windows' own (Schannel) trusts only what is in the system's store.
    """
    if shutil.which("curl") is None:
        return False
    version = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=False).stdout
    return "schannel" not in version.lower()
