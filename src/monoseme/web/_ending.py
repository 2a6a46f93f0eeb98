"""A server that ends when it is told to: what waits for the model is told so, and who reads nothing is cut off."""

import asyncio
import socket

import uvicorn

from monoseme.web.worker import ModelWorker

_GRACE_SECONDS = 1.0
"""For clients to read that their text ends here."""
_LAST_SECONDS = 4
"""Then what is still being answered is given up."""


class EndingServer(uvicorn.Server):
    """Serves until SIGINT or SIGTERM, and then ends within seconds, whatever is being written."""

    def __init__(self, config: uvicorn.Config, worker: ModelWorker) -> None:
        config.timeout_graceful_shutdown = _LAST_SECONDS
        super().__init__(config)
        self._worker = worker

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends the model's work before uvicorn waits for those who listen to it."""
        self._worker.close()
        cutting = asyncio.get_running_loop().call_later(_GRACE_SECONDS, self._cut_off)
        try:
            await super().shutdown(sockets)
        finally:
            cutting.cancel()
        # Python ends next, and torch aborts the process when its thread is cut off.
        self._worker.join(_LAST_SECONDS)

    def _cut_off(self) -> None:
        """A client that does not read keeps its connection open for ever."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
