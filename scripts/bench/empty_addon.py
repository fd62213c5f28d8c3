"""An addon with the hooks of ours that does nothing: what mitmproxy itself takes for calling it."""

from __future__ import annotations

from mitmproxy import http


class Empty:
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        pass

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        pass

    def response(self, flow: http.HTTPFlow) -> None:
        pass

    def error(self, flow: http.HTTPFlow) -> None:
        pass


addons = [Empty()]
