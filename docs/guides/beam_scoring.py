"""Score or judge the rows of Parquet files with an exported model, on Apache Beam.

    python beam_scoring.py --model saved_models/table --input 'rows/*.parquet' --key id \
        --output scored/part

Every row of the input gives one row of the output, with its key: `score`, or `anomaly_score`,
`p_value` and `is_anomaly` with `--signature detect`. Rows that do not fit the model (a value that
is missing or not finite) go to OUTPUT-rejected, with the reason. Options that are not named here
are Beam's, such as --runner and --direct_num_workers.
"""

import argparse

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.parquetio import ReadFromParquet, WriteToParquet
from apache_beam.ml.inference.base import KeyedModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions

from kerasae.scoring.beam import SavedModelHandler

ANSWERS = {
    "score": {"score": pa.float32()},
    "detect": {
        "anomaly_score": pa.float32(),
        "p_value": pa.float32(),
        "is_anomaly": pa.bool_(),
    },
}


def main(argv: list[str] | None = None) -> None:
    """Run the pipeline, and wait for its end."""
    parser = argparse.ArgumentParser(description="Score Parquet rows with an exported model.")
    parser.add_argument("--model", required=True, help="version folder, or the folder above")
    parser.add_argument("--signature", choices=sorted(ANSWERS), default="score")
    parser.add_argument("--input", required=True, help="Parquet files; may hold wildcards")
    parser.add_argument("--key", required=True, help="column that names a row")
    parser.add_argument(
        "--columns", help="columns of a sample, with commas; by default those of the model's card"
    )
    parser.add_argument("--output", required=True, help="path that all output files begin with")
    arguments, others = parser.parse_known_args(argv)
    key = arguments.key
    columns = arguments.columns.split(",") if arguments.columns else None

    handler = SavedModelHandler(
        arguments.model, arguments.signature, columns=columns, invalid="report"
    )
    answers = pa.schema([(key, pa.string()), *ANSWERS[arguments.signature].items()])
    reasons = pa.schema([(key, pa.string()), ("error", pa.string())])

    with beam.Pipeline(options=PipelineOptions(others)) as pipeline:
        rows = (
            pipeline
            | "Read" >> ReadFromParquet(arguments.input, columns=columns and [key, *columns])
            | "Key" >> beam.Map(lambda row: (str(row[key]), row))
            | "Answer" >> RunInference(KeyedModelHandler(handler))
            | "Row" >> beam.MapTuple(lambda name, result: {key: name, **result.inference})
        )
        answered, rejected = rows | "Split" >> beam.Partition(lambda row, _: int("error" in row), 2)
        answered | "Write" >> WriteToParquet(arguments.output, answers, file_name_suffix=".parquet")
        rejected | "Write rejected" >> WriteToParquet(
            f"{arguments.output}-rejected", reasons, file_name_suffix=".parquet"
        )


if __name__ == "__main__":
    main()
