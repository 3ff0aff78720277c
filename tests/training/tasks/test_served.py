"""A fine-tuned run behind `corpusmill serve`: the answers of `corpusmill predict`, whoever else asks."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from serving import CLIENT, serving
from tuning import labelled, write_config, write_records

from training.run.device import Device
from training.tasks import tuned
from training.tasks.finetune import finetune
from training.tasks.predict import predict


def test_answers_are_those_of_predict(bases: Mapping[str, Path], tmp_path: Path) -> None:
    train = write_records(tmp_path / "train.jsonl", labelled(64))
    finetune(write_config(tmp_path, bases["bert"], "classification", train), ("train.epochs=1",))
    given = [{"text": one["text"]} for one in labelled(40, seed=2)]
    model = tuned.load(tmp_path / "run")
    groups = [given[at : at + 4] for at in range(0, 40, 4)]
    wanted = []
    for number, group in enumerate(groups):
        path = write_records(tmp_path / f"{number}.jsonl", group)
        wanted.append(predict(model, model.read(str(path), labelled=False), Device("cpu", "float32")))
    with serving([f"words={tmp_path / 'run'}"]) as server, ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda group: server.post("/predict/words", records=group).json(), groups))
        assert [one["answers"] for one in answers] == wanted
        assert answers[0]["task"] == "classification"
        assert [one["id"] for one in server.get("/v1/models").json()["data"]] == ["words"]
        assert server.get("/health").json()["ready"]
        refused = {
            "have no field 'text'": {"records": [{"label": "river"}]},
            "records: list should have at least 1 item": {"records": []},
            "not of one kind": {"records": [{"text": "a"}, {"text": 1}]},
            "row 2: the field 'text' is missing": {"records": [{"text": "a"}, {}]},
        }
        for message, body in refused.items():
            answer = CLIENT.post(f"{server.url}/predict/words", json=body)
            assert answer.status_code == 400 and message in answer.json()["error"]["message"], answer.text
        assert server.post("/predict/other", records=given).status_code == 404
        writes = server.post("/v1/completions", model="words", prompt="a")
        assert writes.status_code == 404 and "/predict/words" in writes.json()["error"]["message"]
