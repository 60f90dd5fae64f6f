"""The command that serves models over the network."""

from pathlib import Path
from typing import Annotated

import typer


def serve(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Folder of versions, version, run directory, or a folder of these.",
            show_default=False,
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 for all of the machine's.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of REST; 0 for any free one.")
    ] = 8080,
    grpc_port: Annotated[int, typer.Option(min=0, max=65535, help="Port of gRPC.")] = 8081,
    metrics_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of /metrics, for Prometheus.")
    ] = 8082,
    runtime: Annotated[
        str, typer.Option(help="tensorflow, onnx, or auto: onnx where it is there.")
    ] = "auto",
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that run the models; 0 for the server's own.")
    ] = 0,
    max_batch_size: Annotated[
        int, typer.Option(min=0, help="Requests answered together; 0 for one at a time.")
    ] = 32,
    max_batch_time: Annotated[
        float, typer.Option(min=0.0, help="Seconds that a request waits for others.")
    ] = 0.001,
    max_request_bytes: Annotated[
        int, typer.Option(min=1, help="Largest body of a request, and largest raw answer.")
    ] = 32 * 2**20,
    name: Annotated[
        str | None, typer.Option(help="Name of the model.", show_default="that of its folder")
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload/--no-reload", help="Serve new versions as they appear.")
    ] = True,
    allow_model_control: Annotated[
        bool, typer.Option("--allow-model-control", help="Let clients load and unload models.")
    ] = False,
) -> None:
    """Serve exported models over REST and gRPC (Open Inference Protocol, by MLServer).

    Ctrl-C stops the server.
    """
    from kerasae import serving

    serving.serve(
        paths,
        host=host,
        port=port,
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        runtime=runtime,
        workers=workers,
        max_batch_size=max_batch_size,
        max_batch_time=max_batch_time,
        max_request_bytes=max_request_bytes,
        name=name,
        reload=reload,
        allow_model_control=allow_model_control,
    )
