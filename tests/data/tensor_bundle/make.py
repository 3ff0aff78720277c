"""Writes the checkpoints beside this file, and what TensorFlow computes of them. Run once, with TensorFlow 2.21.0 (CPU):

    python make.py

bert/       a Google BERT of two layers with Adam's slots and the step: the names and shapes of google-research/bert modeling.py
            and run_pretraining.py; logits.npz has rows, and the logits of the forward pass below
gpt2/       an OpenAI GPT-2 of two layers: the names and shapes of openai/gpt-2 src/model.py; logits.npz as above
numbers/    one tensor of every dtype, in three shards; values.npz has what TensorFlow reads of it
slices/     partitioned variables, by rows, by columns, and in uneven parts; values.npz as above
"""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1
HERE = Path(__file__).resolve().parent
LAYERS, WIDTH, HEADS, LENGTH = 2, 8, 2, 12
BERT_PIECES = "[PAD] [UNK] [CLS] [SEP] [MASK] the a river miller wheel turn ##s ##ed old ford by , . 水 ##er".split()  # noqa: SIM905
GPT_MERGES = ["Ġ t", "h e", "Ġt he", "r i", "v e", "ri ve", "Ġ rive", "Ġrive r"]


def variable(name: str, *shape: int) -> tf.Variable:
    """A float32 variable with values that depend on its name alone; norms are near 1."""
    random = np.random.default_rng(list(name.encode()))
    near = 1.0 if name.endswith(("gamma", "/g")) else 0.0
    return v1.get_variable(name, initializer=(near + 0.2 * random.standard_normal(shape)).astype(np.float32))


def norm(x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor, epsilon: float) -> tf.Tensor:
    """Layer normalisation over the last dimension."""
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    return (x - mean) * tf.math.rsqrt(variance + epsilon) * scale + shift


def gelu(x: tf.Tensor) -> tf.Tensor:
    """Of modeling.py l. 264 and of model.py: both the approximation by tanh."""
    return 0.5 * x * (1.0 + tf.tanh(np.sqrt(2 / np.pi).astype(np.float32) * (x + 0.044715 * tf.pow(x, 3))))


def attention(q: tf.Tensor, k: tf.Tensor, v: tf.Tensor, hidden: tf.Tensor) -> tf.Tensor:
    """(B, T, D) each; `hidden` (B, 1, T, T) is 1 where nothing is to be seen."""
    q, k, v = (tf.transpose(tf.reshape(x, [*x.shape[:2], HEADS, WIDTH // HEADS]), [0, 2, 1, 3]) for x in (q, k, v))
    scores = tf.matmul(q, k, transpose_b=True) / np.float32(np.sqrt(WIDTH / HEADS)) - 1e10 * hidden
    found = tf.transpose(tf.matmul(tf.nn.softmax(scores), v), [0, 2, 1, 3])
    return tf.reshape(found, [*found.shape[:2], WIDTH])


def bert(ids: np.ndarray, segments: np.ndarray, real: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
    """Logits of tokens (B, T, V) and of the pair (B, 2)."""

    def dense(x: tf.Tensor, name: str, inner: int, outer: int) -> tf.Tensor:
        return tf.tensordot(x, variable(f"{name}/kernel", inner, outer), 1) + variable(f"{name}/bias", outer)

    def normed(x: tf.Tensor, name: str) -> tf.Tensor:
        return norm(x, variable(f"{name}/LayerNorm/gamma", WIDTH), variable(f"{name}/LayerNorm/beta", WIDTH), 1e-12)

    tokens = variable("bert/embeddings/word_embeddings", len(BERT_PIECES), WIDTH)
    x = tf.gather(tokens, ids)
    x += tf.gather(variable("bert/embeddings/token_type_embeddings", 2, WIDTH), segments)
    x += variable("bert/embeddings/position_embeddings", LENGTH, WIDTH)[: ids.shape[1]]
    x = normed(x, "bert/embeddings")
    hidden = (1.0 - real.astype(np.float32))[:, None, None, :]
    for n in range(LAYERS):
        layer = f"bert/encoder/layer_{n}"
        q, k, v = (dense(x, f"{layer}/attention/self/{part}", WIDTH, WIDTH) for part in ("query", "key", "value"))
        found = dense(attention(q, k, v, hidden), f"{layer}/attention/output/dense", WIDTH, WIDTH)
        x = normed(x + found, f"{layer}/attention/output")
        found = gelu(dense(x, f"{layer}/intermediate/dense", WIDTH, 4 * WIDTH))
        x = normed(x + dense(found, f"{layer}/output/dense", 4 * WIDTH, WIDTH), f"{layer}/output")
    pooled = tf.tanh(dense(x[:, 0], "bert/pooler/dense", WIDTH, WIDTH))
    pair = tf.matmul(pooled, variable("cls/seq_relationship/output_weights", 2, WIDTH), transpose_b=True)
    head = normed(gelu(dense(x, "cls/predictions/transform/dense", WIDTH, WIDTH)), "cls/predictions/transform")
    logits = tf.tensordot(head, tf.transpose(tokens), 1) + variable("cls/predictions/output_bias", len(BERT_PIECES))
    return logits, pair + variable("cls/seq_relationship/output_bias", 2)


def gpt2(ids: np.ndarray, vocabulary: int) -> tf.Tensor:
    """Logits (B, T, V)."""

    def conv(x: tf.Tensor, name: str, inner: int, outer: int) -> tf.Tensor:
        return tf.tensordot(x, variable(f"{name}/w", 1, inner, outer)[0], 1) + variable(f"{name}/b", outer)

    def normed(x: tf.Tensor, name: str) -> tf.Tensor:
        return norm(x, variable(f"{name}/g", WIDTH), variable(f"{name}/b", WIDTH), 1e-5)

    tokens = variable("model/wte", vocabulary, WIDTH)
    x = tf.gather(tokens, ids) + variable("model/wpe", LENGTH, WIDTH)[: ids.shape[1]]
    later = np.triu(np.ones((ids.shape[1], ids.shape[1]), np.float32), 1)[None, None]
    for n in range(LAYERS):
        layer = f"model/h{n}"
        q, k, v = tf.split(conv(normed(x, f"{layer}/ln_1"), f"{layer}/attn/c_attn", WIDTH, 3 * WIDTH), 3, axis=2)
        x += conv(attention(q, k, v, later), f"{layer}/attn/c_proj", WIDTH, WIDTH)
        found = gelu(conv(normed(x, f"{layer}/ln_2"), f"{layer}/mlp/c_fc", WIDTH, 4 * WIDTH))
        x += conv(found, f"{layer}/mlp/c_proj", 4 * WIDTH, WIDTH)
    return tf.tensordot(normed(x, "model/ln_f"), tf.transpose(tokens), 1)


def saved(folder: Path, prefix: str, build: Callable[[], list[tf.Tensor]], *, slots: bool = False) -> list[np.ndarray]:
    """Save the variables that `build` makes, with Adam's slots if wanted; the values of what it returns."""
    with tf.Graph().as_default(), v1.Session() as session:
        with v1.variable_scope("", use_resource=False):
            wanted = build()
            for trained in v1.trainable_variables() if slots else []:
                for slot in ("adam_m", "adam_v"):
                    v1.get_variable(f"{trained.op.name}/{slot}", initializer=tf.zeros(trained.shape), trainable=False)
            if slots:
                v1.get_variable("global_step", initializer=np.int64(1000), trainable=False)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(folder / prefix), write_meta_graph=False)
        return [np.asarray(value) for value in session.run(wanted)]


def fresh(name: str) -> Path:
    """An empty folder of this name, beside this file."""
    shutil.rmtree(HERE / name, ignore_errors=True)
    (HERE / name).mkdir()
    return HERE / name


def make_bert() -> None:
    """bert/: as the archives are, without the file "checkpoint"."""
    folder = fresh("bert")
    random = np.random.default_rng(1)
    ids = random.integers(0, len(BERT_PIECES), (3, 10)).astype(np.int32)
    segments = (np.arange(10) >= np.array([[4], [6], [10]])).astype(np.int32)
    real = np.arange(10) < np.array([[10], [7], [4]])
    logits, pair = saved(folder, "bert_model.ckpt", lambda: list(bert(ids, segments, real)), slots=True)
    np.savez_compressed(folder / "logits.npz", ids=ids, segments=segments, real=real, logits=logits, pair=pair)
    (folder / "checkpoint").unlink()
    config = {
        "attention_probs_dropout_prob": 0.1,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": WIDTH,
        "initializer_range": 0.02,
        "intermediate_size": 4 * WIDTH,
        "max_position_embeddings": LENGTH,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "type_vocab_size": 2,
        "vocab_size": len(BERT_PIECES),
    }
    (folder / "bert_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "vocab.txt").write_text("\n".join(BERT_PIECES) + "\n")


def byte_characters() -> list[str]:
    """The characters that stand for the bytes in GPT-2's vocabulary, in the order of its first 256 ids (encoder.py)."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(b) for b in shown] + [chr(256 + n) for n in range(256 - len(shown))]


def make_gpt2() -> None:
    """gpt2/: as OpenAI's folders are, with the file "checkpoint"."""
    folder = fresh("gpt2")
    pieces = [*byte_characters(), *(merge.replace(" ", "") for merge in GPT_MERGES), "<|endoftext|>"]
    ids = np.random.default_rng(2).integers(0, len(pieces), (3, 10)).astype(np.int32)
    (logits,) = saved(folder, "model.ckpt", lambda: [gpt2(ids, len(pieces))])
    np.savez_compressed(folder / "logits.npz", ids=ids, logits=logits)
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\nall_model_checkpoint_paths: "model.ckpt"\n')
    hparams = {"n_vocab": len(pieces), "n_ctx": LENGTH, "n_embd": WIDTH, "n_head": HEADS, "n_layer": LAYERS}
    (folder / "hparams.json").write_text(json.dumps(hparams, indent=2) + "\n")
    (folder / "encoder.json").write_text(json.dumps({piece: i for i, piece in enumerate(pieces)}))
    (folder / "vocab.bpe").write_text("#version: 0.2\n" + "\n".join(GPT_MERGES) + "\n")


def read_back(prefix: Path) -> dict[str, np.ndarray]:
    """What TensorFlow reads: bfloat16 as float32, no strings."""
    reader = tf.train.load_checkpoint(str(prefix))
    kinds = reader.get_variable_to_dtype_map()
    found = {name: np.asarray(reader.get_tensor(name)) for name in sorted(kinds) if kinds[name] != tf.string}
    return {name: value.astype(np.float32) if kinds[name] == tf.bfloat16 else value for name, value in found.items()}


def make_numbers() -> None:
    """numbers/: three checkpoints merged to one of three shards, as a job with three parameter servers writes them."""
    folder = fresh("numbers")
    random = np.random.default_rng(3)
    tensors: dict[str, tf.Tensor] = {
        kind.name: tf.cast(tf.constant(100 * random.standard_normal((3, 5))), kind)
        for kind in (tf.float32, tf.float64, tf.float16, tf.bfloat16, tf.int8, tf.int16, tf.int32, tf.int64)
    }
    tensors |= {kind.name: tf.cast(tf.range(200, 207), kind) for kind in (tf.uint8, tf.uint16, tf.uint32, tf.uint64)}
    tensors |= {"bool": tf.constant([True, False, True]), "text": tf.constant(["no", "weights"]), "scalar": tf.constant(7.5)}
    tensors |= {"empty": tf.zeros([0, 4]), "größe/水": tf.constant([1.0, -2.0]), "complex": tf.constant([1 + 2j])}
    tensors |= {f"many/{n:03}": tf.constant(float(n)) for n in range(120)}  # more than one block of the index
    names = sorted(tensors)
    parts = [str(folder / f"part{n}") for n in range(3)]
    for n, part in enumerate(parts):
        some = names[n::3]
        tf.raw_ops.SaveV2(prefix=part, tensor_names=some, shape_and_slices=[""] * len(some), tensors=[tensors[s] for s in some])
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=str(folder / "model.ckpt"))
    values = read_back(folder / "model.ckpt")
    np.savez_compressed(folder / "values.npz", **{name: value for name, value in values.items() if "many" not in name})


def make_slices() -> None:
    """slices/: variables in parts along either dimension; of the long one numbers need 1, 2 and 3 bytes in the keys of slices."""
    folder = fresh("slices")

    def build() -> list[tf.Tensor]:
        for name, shape, parts, axis in (
            ("rows", (6, 3), 3, 0),
            ("columns", (4, 10), 2, 1),
            ("uneven", (7,), 3, 0),
            ("long", (9000,), 12, 0),
        ):
            values = v1.random_uniform_initializer(0, 4, seed=4)
            v1.get_variable(name, shape, tf.int32, values, partitioner=v1.fixed_size_partitioner(parts, axis))
        v1.get_variable("whole", initializer=np.float32([1.0, 2.0]))
        return []

    saved(folder, "model.ckpt", build)
    (folder / "checkpoint").unlink()
    np.savez_compressed(folder / "values.npz", **read_back(folder / "model.ckpt"))


if __name__ == "__main__":
    make_bert()
    make_gpt2()
    make_numbers()
    make_slices()
