"""An object store that speaks S3, in a process of its own: moto's, with a log of all requests and faults.

``python -m tests.remote.s3_server`` prints the port it listens at, and serves until its standard input ends.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from typing import Any

from tests.remote.recording import Recorder


def main() -> None:
    os.environ.setdefault("MOTO_S3_CUSTOM_ENDPOINTS", "")
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Handler(WSGIRequestHandler):
        protocol_version = "HTTP/1.1"

        def log(self, *arguments: Any, **options: Any) -> None:
            """Print nothing."""

        def log_error(self, *arguments: Any, **options: Any) -> None:
            """Print nothing."""

    logging.disable(logging.CRITICAL)
    application = Recorder(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
