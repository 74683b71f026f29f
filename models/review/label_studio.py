"""The queue as Label Studio imports it: one task a picture, with the model's word as a prediction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

import pyarrow as pa

_FROM, _TO = "label", "image"


def label_studio_tasks(queue: pa.Table, pictures_address: str) -> str:
    """JSON of the tasks.

    Args:
        queue: table REVIEW.
        pictures_address: what the server finds the folder of pictures by, such as /data/local-files/?d=inbox.
    """
    tasks = [
        {
            "data": {
                "image": f"{pictures_address}/{row['path']}",
                "sha256": row["image_id"],
                "path": row["path"],
                "reasons": ", ".join(row["reasons"]),
                "suggested_label": row["suggested_label"] or "",
            },
            "predictions": [
                {
                    "model_version": (row["bundle_sha256"] or "sortline")[:12],
                    "score": row["score"],
                    "result": [
                        {
                            "from_name": _FROM,
                            "to_name": _TO,
                            "type": "choices",
                            "value": {"choices": [row["suggested_label"]]},
                        }
                    ],
                }
            ],
        }
        for row in queue.to_pylist()
    ]
    return json.dumps(tasks, indent=1)


def label_studio_config(classes: Sequence[str]) -> str:
    """The project's labelling interface."""
    choices = "".join(f'<Choice value="{escape(label)}"/>' for label in classes)
    return (
        f'<View><Image name="{_TO}" value="$image"/><Text name="reasons" value="$reasons"/>'
        f'<Choices name="{_FROM}" toName="{_TO}" choice="single" showInline="true">{choices}</Choices></View>\n'
    )
