"""A fine-tuned model that answers the records of requests, as `corpusmill predict` does.

The records of a request are one batch of their own: the answer does not depend on other clients.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from training.run.device import Device
from training.serving.errors import invalid
from training.serving.worker import Worker
from training.tasks.errors import TaskError
from training.tasks.input.records import Records
from training.tasks.predict import predict
from training.tasks.tuned import TunedModel

_WHERE = "records"


class Predictions:
    """A tuned model and the thread that runs it, one request after the other."""

    def __init__(self, tuned: TunedModel, queue: int) -> None:
        """`queue`: the most requests that wait."""
        self.tuned, self._worker = tuned, Worker("predict", queue)
        self._device = Device("cpu", "float32")

    async def answer(self, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the answer to each record. Raises ApiError: 400 for records that the task cannot read, 429 for a full queue."""
        return await self._worker.run(self._answer, given)

    def stop(self) -> None:
        """Finish what waits, then end the thread."""
        self._worker.stop()

    def _answer(self, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        try:
            return predict(self.tuned, self._records(given), self._device)
        except TaskError as error:
            raise invalid(str(error), _WHERE) from error

    def _records(self, given: list[dict[str, Any]]) -> Records:
        task, names = self.tuned.task, self.tuned.section.fields
        fields = {name: names.get(name, name) for name in task.FIELDS if name not in task.LABELS}
        try:
            table = pa.Table.from_pylist([{name: one.get(theirs) for name, theirs in fields.items()} for one in given])
        except (pa.ArrowException, OverflowError) as error:
            raise invalid(f"records: their fields are not of one kind: {str(error).splitlines()[0]}", _WHERE) from error
        absent = {name for name in fields if table[name].null_count == len(given)}
        if needed := sorted(absent - {*task.OPTIONAL}):
            raise invalid(f"records: have no field {fields[needed[0]]!r}", _WHERE)
        kept = [name for name in fields if name not in absent]
        return Records("the request", table.select(kept), None, np.arange(len(given)))
