"""Records what jax.nn.dot_product_attention computes, for tests/data/jax/cases.json.

    python tests/compat/record/jax_cases.py tests/data/jax/cases.json

Needs the package jax (CPU). Arrays are { dtype, shape, data }, data = base64 of little-endian row-major bytes.
"""

import base64
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

LOWEST = float(np.finfo(np.float32).min)


def stored(array):
    array = np.asarray(array)
    names = {"float32": "float32", "bool": "bool", "int32": "int32"}
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": names[str(array.dtype)], "shape": list(array.shape), "data": data}


def case(name, b=2, t=5, s=5, n=4, k=4, h=8, tensors=None, note=None, **call):
    generator = np.random.default_rng(abs(hash_of(name)))
    q, key, value = (
        generator.standard_normal(shape, dtype=np.float32) for shape in ((b, t, n, h), (b, s, k, h), (b, s, k, h))
    )
    extra = {} if tensors is None else tensors(generator)
    arguments = {name: jnp.asarray(value) for name, value in extra.items()}
    out, residual = jax.nn.dot_product_attention(q, key, value, **arguments, **call, return_residual=True)
    return {
        "name": name,
        "note": note,
        "call": call,
        "tensors": {"query": stored(q), "key": stored(key), "value": stored(value)},
        "arguments": {name: stored(value) for name, value in extra.items()},
        "expected": {"out": stored(out), "lse": stored(np.transpose(np.asarray(residual), (0, 2, 1)))},
    }


def hash_of(name):
    number = 5381
    for letter in name:
        number = (number * 33 + ord(letter)) % 2**31
    return number


def normal(*shape):
    return lambda generator: {"bias": generator.standard_normal(shape, dtype=np.float32)}


def mask(*shape):
    def make(generator):
        allowed = generator.random(shape) < 0.6
        allowed[..., 0] = True
        return {"mask": allowed}

    return make


def lengths(query=None, key_value=None):
    return lambda _: {
        **({} if query is None else {"query_seq_lengths": np.array(query, np.int32)}),
        **({} if key_value is None else {"key_value_seq_lengths": np.array(key_value, np.int32)}),
    }


def lowest_bias(_):
    bias = np.zeros((1, 1, 3, 6), np.float32)
    bias[..., 0, :] = LOWEST
    bias[..., 1, 2:] = LOWEST
    return {"bias": bias}


def empty_rows(_):
    allowed = np.ones((1, 1, 3, 6), bool)
    allowed[..., 1, :] = False
    return {"mask": allowed}


CASES = [
    case("plain"),
    case("scale", scale=0.3),
    case("gqa", n=6, k=2, s=7),
    case("mqa", n=4, k=1, t=3),
    case("causal_square", is_causal=True),
    case("causal_more_keys", s=9, is_causal=True),
    case("causal_more_rows", t=9, s=4, is_causal=True),
    case("window_pair", t=9, s=9, local_window_size=(3, 2)),
    case("window_number", t=9, s=9, local_window_size=2),
    case("window_more_keys", t=4, s=9, local_window_size=(1, 3)),
    case("window_causal", t=9, s=9, local_window_size=(2, 4), is_causal=True),
    case("window_zero", t=6, s=6, local_window_size=(0, 0)),
    case("bias_bnts", s=6, tensors=normal(2, 4, 5, 6)),
    case("bias_1nts", s=6, tensors=normal(1, 4, 5, 6)),
    case("bias_b11s", s=6, tensors=normal(2, 1, 1, 6)),
    case("mask_bnts", s=6, tensors=mask(2, 4, 5, 6)),
    case("mask_11ts", s=6, tensors=mask(1, 1, 5, 6)),
    case("mask_gqa", s=6, n=4, k=2, tensors=mask(1, 4, 5, 6)),
    case("mask_and_bias", s=6, tensors=lambda g: {**mask(1, 4, 5, 6)(g), **normal(2, 1, 5, 6)(g)}),
    case("bias_causal", tensors=normal(1, 4, 5, 5), is_causal=True),
    case("lengths_key", s=6, tensors=lengths(key_value=[6, 2])),
    case("lengths_query", tensors=lengths(query=[5, 2])),
    case("lengths_both", s=6, tensors=lengths([3, 5], [4, 1]), is_causal=True),
    case("lowest_bias", b=1, t=3, s=6, tensors=lowest_bias, note="row 0 is uniform: -3.4e38 is no mask"),
    case("empty_rows", b=1, t=3, s=6, tensors=empty_rows, note="row 1 sees no key and is the mean of all values"),
]

with open(sys.argv[1], "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(each) for each in CASES) + "\n]\n")
print(f"{len(CASES)} cases, jax {jax.__version__}")
