"""A stand-in for the cloud: a real model in llama.cpp's OpenAI-compatible server, in this process until it is ended."""

import signal
import sys

import xllamacpp


def main() -> None:
    """Serves a GGUF file: `python -m tour.stand_in FILE PORT`."""
    file, port = sys.argv[1:]
    parameters = xllamacpp.CommonParams()
    parameters.model.path = file
    parameters.model_alias = {"stand-in"}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = int(port)
    parameters.n_ctx = 4096
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 2
    server = xllamacpp.Server(parameters)
    print(f"listening on {server.listening_address}", flush=True)
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
