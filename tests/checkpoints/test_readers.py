"""Files of networks: every format gives the same arrays, a choice is asked for, and what is hostile is refused at once."""

from __future__ import annotations

import errno
import io
import os
import pickle
import resource
import signal
import stat
import subprocess
import sys
import time
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from support.command_line import run
from support.marks import alone

import identify as idf
from identify.base.extras import MissingExtraError
from identify.base.limits import TooLargeError
from identify.checkpoints import ProblemFileError, layers, read_arrays
from identify.checkpoints.problems import load_network, save_arrays

RNG = np.random.default_rng(0)
W1, b1, W2, b2 = (RNG.standard_normal(shape) for shape in ((6, 4), 6, (3, 6), 3))
NETWORK = {"W1": W1, "b1": b1, "W2": W2, "b2": b2}


def assert_network(path, expected=NETWORK, **options):
    network, rest = load_network(path, **options)
    assert set(network.parameters) == set(expected)
    assert all(np.array_equal(network.parameters[name], value) for name, value in expected.items())
    return network, rest


def array_bytes(value) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=True)
    return buffer.getvalue()


def header(descr="'<f8'", shape="(2,)", order="False") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def archive(path, members, compression=zipfile.ZIP_STORED):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", compression) as file:
        warnings.simplefilter("ignore")  # names that appear twice
        for name, content in members:
            file.writestr(name, content)
    return path


def packed(value):
    """As flax.serialization writes it."""
    msgpack = pytest.importorskip("msgpack", reason="msgpack is not installed")

    def array(value):
        if isinstance(value, np.ndarray):
            return msgpack.ExtType(1, msgpack.packb((value.shape, value.dtype.name, value.tobytes())))
        raise TypeError

    return msgpack.packb(value, default=array, strict_types=True)


class TestNpz:
    @pytest.mark.parametrize("change", [">f8", "fortran", "strided"])
    def test_byte_order_and_layout(self, tmp_path, change):
        W = W1.astype(">f8") if change == ">f8" else np.asfortranarray(W1) if change == "fortran" else np.repeat(W1, 2, axis=1)[:, ::2]
        np.savez(tmp_path / "n.npz", **{**NETWORK, "W1": W})
        assert_network(tmp_path / "n.npz")
        assert read_arrays(tmp_path / "n.npz")["W1"].dtype.isnative

    def test_as_numpy_reads(self, tmp_path):
        values = [np.float32(3), np.arange(6).reshape(1, 2, 3), np.zeros((0, 3)), np.array(["a", "ü"]), np.array([1 + 2j]), np.array(True)]
        values += [np.array([b"x"]), np.arange(3, dtype=">i2"), np.float16([1.5]), np.asfortranarray(RNG.standard_normal((2, 3, 4)))]
        np.savez_compressed(tmp_path / "n.npz", *values)
        found = read_arrays(tmp_path / "n.npz")
        with np.load(tmp_path / "n.npz") as expected:
            assert list(found) == expected.files
            for name in expected.files:
                assert np.array_equal(found[name], expected[name]) and found[name].shape == expected[name].shape
                assert found[name].dtype == expected[name].dtype.newbyteorder("=") and found[name].flags.writeable

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (header(shape="(1000000, 1000000, 1000)"), "would have 8000000000000000 bytes, and has 0"),
            (header(shape="(9999999999999999,)"), "impossible shape"),
            (header(shape="(-1,)") + bytes(16), "impossible shape"),
            (header(shape="(0, 999999999999999, 999999999999999)"), "impossible shape"),
            (header("'|U0'", "(1000000000000,)"), "has the type <U0"),
            (header("'|O'"), "has the type object"),
            (header("[('a', '<f8')]") + bytes(16), "has the type .*'a'"),
            (header("'<M8[s]'") + bytes(16), "not numbers"),
            (header("'<U1'", "(1,)") + b"\xff" * 4, "code points outside Unicode"),
            (header() + bytes(15), "would have 16 bytes, and has 15"),
            (header() + bytes(17), "would have 16 bytes, and has 17"),
            (header()[:-20], "cut short"),
            (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "header is .* too long"),
            (b"\x93NUMPY\x09\x00", "not an array of NumPy"),
            (pickle.dumps([1]), "not an array of NumPy"),
            (b"\x93NUMPY\x01\x00\xe8\x03" + b"(" * 1000, "header is damaged"),
            (b"\x93NUMPY\x01\x00\xe8\x03" + b"-" * 999 + b"1", "header is damaged"),
            (b"\x93NUMPY\x01\x00\x10\x27" + b"[" * 10_000, "header is damaged"),
            (b"\x93NUMPY\x02\x00\x04\x00\x00\x00'\xff\n'", "header is damaged"),
            (header(shape="(True, 2)") + bytes(16), "impossible shape"),
            (header(shape="2") + bytes(16), "header is damaged"),
            (header("'<f8'", "(2,), 'more': 1") + bytes(16), "header is damaged"),
            (header("('<f8', (2,))") + bytes(32), "not numbers"),
            (header("'|V8'") + bytes(16), "not numbers"),
            (header("'nothing'") + bytes(16), "header is damaged"),
        ],
    )
    def test_members_that_are_refused(self, tmp_path, content, message):
        for name in ("n.npz", "n.eqx"):
            if name == "n.eqx":
                (tmp_path / name).write_bytes(content)
            else:
                archive(tmp_path / name, [("W1.npy", content)])
            if name == "n.eqx" and "has 17" in message:
                message = "leaf1 cannot be read"
            with pytest.raises(ProblemFileError, match=message):
                read_arrays(tmp_path / name)

    @pytest.mark.smoke
    def test_pickles_are_not_executed(self, tmp_path):
        flag = tmp_path / "executed"

        class Trap:
            def __reduce__(self):
                return (open, (str(flag), "w"))

        np.savez(tmp_path / "n.npz", W1=np.array([Trap()], dtype=object))
        with pytest.raises(ProblemFileError, match="type object"):
            read_arrays(tmp_path / "n.npz")
        for suffix in ("npz", "eqx", "msgpack", "onnx", "safetensors", "pt", "any"):
            (tmp_path / f"n.{suffix}").write_bytes(pickle.dumps(Trap()))
            with pytest.raises((ProblemFileError, MissingExtraError)):  # without the package that reads it
                read_arrays(tmp_path / f"n.{suffix}")
        assert not flag.exists()

    def test_names_stay_names(self, tmp_path):
        names = ["../../escaped.npy", "/absolute.npy", "\x1b[31mred\n.npy", "x" * 300 + ".npy"]
        archive(tmp_path / "n.npz", [(name, array_bytes(b1)) for name in names])
        before = sorted(tmp_path.rglob("*"))
        assert list(read_arrays(tmp_path / "n.npz"))[:2] == ["../../escaped", "/absolute"]
        with pytest.raises(ProblemFileError) as refusal:
            load_network(tmp_path / "n.npz")
        assert str(refusal.value).isprintable() and len(str(refusal.value)) < 800
        assert sorted(tmp_path.rglob("*")) == before

    def test_links_in_archives_are_not_followed(self, tmp_path):
        link = zipfile.ZipInfo("W1.npy")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive(tmp_path / "n.npz", [(link, "/etc/hostname")])
        with pytest.raises(ProblemFileError, match="not an array of NumPy"):
            read_arrays(tmp_path / "n.npz")

    def test_names_that_appear_twice(self, tmp_path):
        archive(tmp_path / "n.npz", [("W1.npy", array_bytes(W1)), ("W1.npy", array_bytes(W2))])
        with pytest.raises(ProblemFileError, match="holds W1 twice"):
            read_arrays(tmp_path / "n.npz")

    @alone
    def test_bombs(self, tmp_path):
        zeros = np.zeros(2**26)
        with zipfile.ZipFile(tmp_path / "n.npz", "w", zipfile.ZIP_DEFLATED) as file, file.open("W1.npy", "w") as member:
            np.save(member, zeros)
        with pytest.raises(ProblemFileError, match="would unfold to 512 MiB"):
            read_arrays(tmp_path / "n.npz")

    @pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
    def test_cut_at_every_byte(self, tmp_path, save):
        save(tmp_path / "n.npz", W1=W1, activation="z^3")
        content = (tmp_path / "n.npz").read_bytes()
        for cut in range(len(content)):
            (tmp_path / "cut.npz").write_bytes(content[:cut])
            with pytest.raises(ProblemFileError):
                read_arrays(tmp_path / "cut.npz")

    @pytest.mark.parametrize("bad", [W1 * np.nan, W1 * np.inf, W1 * 1j, W1[:0], W1.astype(str), W1.astype(object), W1[None]])
    def test_what_is_no_weight(self, tmp_path, bad):
        np.savez(tmp_path / "n.npz", **{**NETWORK, "W1": bad})
        np.savez(tmp_path / "p.npz", W=bad, a=W2[0], activation="z^3", target_a=W2[0])
        for load, name in ((load_network, "n.npz"), (idf.load_problem, "p.npz")):
            with pytest.raises(ValueError, match="expected"):
                load(tmp_path / name)


@pytest.mark.smoke
class TestShapes:
    def read(self, **arrays):
        named, rest = layers({name: np.asarray(value) for name, value in arrays.items()}, "file")
        return named, set(rest)

    @pytest.mark.parametrize(
        "names",
        [("fc1", "c1", "fc2", "c2"), ("w_1", "b_1", "w_2", "b_2"), ("hidden", "hidden_b", "out", "out_b"), ("l0", "bias0", "l1", "bias1")],
    )
    @pytest.mark.parametrize("transposed", [False, True])
    def test_any_names(self, names, transposed):
        values = (W1.T if transposed else W1, b1, W2.T if transposed else W2, b2)
        if names[1] == "c1":  # no name of a bias: with or without
            with pytest.raises(ProblemFileError, match=r"could be fc1, then fc2.* or fc1 \+ c1, then"):
                self.read(**dict(zip(names, values, strict=True)))
            return
        named, rest = self.read(**dict(zip(names, values, strict=True)), X=np.ones((5, 4)), activation=np.array("relu"))
        assert rest == {"X", "activation"} and set(named) == set(NETWORK)
        assert all(np.array_equal(named[name], value) for name, value in NETWORK.items())

    def test_order_of_numbers_before_order_in_the_file(self):
        named, _ = self.read(fc10=W2, fc9=W1)
        assert np.array_equal(named["W1"], W1) and np.array_equal(named["W2"], W2)

    def test_one_output_as_a_vector(self):
        named, _ = self.read(hidden=W1, bias=b1, out=np.arange(6.0))
        assert np.array_equal(named["W2"], [np.arange(6.0)]) and np.array_equal(named["b1"], b1)

    def test_keys_of_problem_files(self):
        named, rest = self.read(W=W1, a=np.arange(6.0), bias=b1, target_W=W1)
        assert np.array_equal(named["W2"], [np.arange(6.0)]) and np.array_equal(named["b1"], b1) and rest == {"target_W"}

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"fc1": np.eye(3), "fc2": np.eye(3)}, r"could be fc1, then fc2, each \(out, in\), or fc1, then fc2, each \(in, out\)"),
            ({"out": W2, "hidden": W1}, r"out, then hidden, each \(in, out\), or hidden, then out, each \(out, in\)"),
            ({"hidden": W1, "one": b1, "two": b1}, "could be hidden, then one"),
            ({"hidden": W1, "out": W2, "kept": np.ones((9, 9))}, r"holds hidden \(6, 4\), out \(3, 6\), kept"),
            ({"hidden": W1, "out": W2, "out_b": np.ones(5)}, "holds hidden"),
            ({"fc1": W1}, "shapes of one network only"),
            ({f"w{k}": np.eye(2) for k in range(40)}, "and 28 more"),
        ],
    )
    def test_a_choice_is_asked_for(self, arrays, message):
        with pytest.raises(ProblemFileError, match=message) as refusal:
            self.read(**arrays)
        assert "choose with weights=" in str(refusal.value)

    def test_the_choice(self, tmp_path):
        np.savez(tmp_path / "n.npz", out=W2, hidden=W1, hidden_b=b1, out_b=b2, kept=np.ones((9, 9)))
        _, rest = assert_network(tmp_path / "n.npz", weights=["hidden", "out"])
        assert list(rest) == ["kept"]
        np.savez(tmp_path / "n.npz", **{"encoder.weight": W1, "decoder.weight": W2, "encoder.bias": b1, "decoder.bias": b2})
        assert_network(tmp_path / "n.npz")  # only in this order does each take the outputs of the one before it
        np.savez(tmp_path / "n.npz", **{"a.weight": np.ones((3, 2)), "b.weight": np.ones((3, 2))})
        with pytest.raises(ProblemFileError, match="b.weight does not take the outputs of a.weight.*choose with weights="):
            load_network(tmp_path / "n.npz")
        for weights, message in (
            (["hidden"], "two or more"),
            (["absent", "hidden"], "two or more"),
            (["kept", "out"], "takes the outputs"),
        ):
            np.savez(tmp_path / "n.npz", out=W2, hidden=W1, kept=np.ones((9, 9)))
            with pytest.raises(ProblemFileError, match=f"weights: received .*{message}"):
                load_network(tmp_path / "n.npz", weights=weights)

    def test_the_order_of_square_layers(self):
        """Numbers decide between orders that shapes allow; words do not, and a count of the layers from the last one is seen through."""
        rng = np.random.default_rng(0)
        A, B, last = rng.standard_normal((4, 4)), rng.standard_normal((4, 4)), rng.standard_normal((2, 4))
        for names in (("fc1", "fc2", "head"), ("0", "2", "10"), ("block.9", "block.10", "out")):
            found, _ = layers({f"{name}.weight": value for name, value in zip(reversed(names), (last, B, A), strict=True)}, "file")
            assert all(np.array_equal(found[f"W{k}"], value) for k, value in enumerate((A, B, last), 1))
        found, _ = layers({"Dense_0/kernel": last.T, "Dense_1/kernel": np.ones((3, 4))}, "file")
        assert np.array_equal(found["W2"], last)
        with pytest.raises(ProblemFileError, match="could be encode.weight, then middle.weight, then out.weight, or middle.weight, then"):
            layers({"encode.weight": A, "middle.weight": B, "out.weight": last}, "file")
        with pytest.raises(ProblemFileError, match="does not take the outputs of"):  # the last one first, and two orders of the others
            layers({"Dense_0/kernel": last.T, "Dense_1/kernel": B, "Dense_2/kernel": A}, "file")
        many = {f"{word}.weight": A for word in "abcdefghijklmnop"}
        with pytest.raises(ProblemFileError, match="could be"):
            layers(many, "file")

    @pytest.mark.parametrize("part", ["norm.scale", "norm/bias", "1.running_mean"])
    def test_other_layers_are_refused(self, part):
        with pytest.raises(ProblemFileError, match="expected dense layers only"):
            layers({"0.weight": W1, "2.weight": W2, part: b1}, "file")


class TestFlax:
    TREE = {
        "params": {"Dense_0": {"kernel": W1.T.copy(), "bias": b1}, "Dense_1": {"kernel": W2.T.copy(), "bias": b2}},
        "opt_state": {"0": {"mu": {"Dense_0": {"kernel": W1.T * 0}}}},
        "step": 7,
    }

    def test_read(self, tmp_path):
        for name in ("net.msgpack", "checkpoint_7"):
            (tmp_path / name).write_bytes(packed(self.TREE))
            _, rest = assert_network(tmp_path / name)
            assert rest == {"step": 7}

    def test_as_flax_writes_it(self, tmp_path):
        flax = pytest.importorskip("flax.serialization", reason="flax is not installed")
        (tmp_path / "net.msgpack").write_bytes(flax.to_bytes(self.TREE))
        assert (tmp_path / "net.msgpack").read_bytes() == packed(self.TREE)
        import jax.numpy as jnp

        half = {"kernel": jnp.asarray([[1.5, -2.25]], jnp.bfloat16), "scalar": np.float32(2)}
        (tmp_path / "half.msgpack").write_bytes(flax.to_bytes(half))
        found = read_arrays(tmp_path / "half.msgpack")
        assert found["kernel"].dtype == np.float32 and found["kernel"].tolist() == [[1.5, -2.25]] and found["scalar"] == 2

    @pytest.mark.parametrize("number", [str, int])
    def test_lists_of_nnx(self, tmp_path, number):
        """``nnx.List`` and ``nnx.Sequential`` number their layers: integers, or texts when ``to_bytes`` writes them."""
        shapes = [(4, 6), *[(6, 6)] * 10, (6, 3)]
        kernels = [RNG.standard_normal(shape) for shape in shapes]
        pure = {number(k): {"kernel": kernel, "bias": np.full(kernel.shape[1], float(k))} for k, kernel in enumerate(kernels)}
        (tmp_path / "net.msgpack").write_bytes(packed({"layers": dict(sorted(pure.items(), key=lambda item: str(item[0])))}))
        network, rest = load_network(tmp_path / "net.msgpack")
        assert network.depth == 12 and not rest
        assert all(np.array_equal(network.parameters[f"W{k}"], kernel.T) for k, kernel in enumerate(kernels, 1))
        assert all(network.parameters[f"b{k}"][0] == k - 1 for k in range(1, 13))

    def test_nnx(self, tmp_path):
        """The real thing, whose layout the test above has."""
        nnx = pytest.importorskip("flax.nnx", reason="flax is not installed")
        import jax
        from flax.serialization import msgpack_serialize, to_bytes

        class Net(nnx.Module):
            def __init__(self, rngs):
                self.layers = nnx.List([nnx.Linear(4, 6, rngs=rngs), nnx.Linear(6, 3, use_bias=False, rngs=rngs)])

        net = Net(nnx.Rngs(0))
        pure = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(net)))
        expected = {"W1": net.layers[0].kernel[...].T, "b1": net.layers[0].bias[...], "W2": net.layers[1].kernel[...].T}
        for write in (to_bytes, msgpack_serialize):
            (tmp_path / "net.msgpack").write_bytes(write(pure))
            assert_network(tmp_path / "net.msgpack", expected)

    def test_pieces(self, tmp_path):
        pieces = {"__msgpack_chunked_array__": True, "shape": {"0": 6, "1": 4}, "chunks": {"0": W1.ravel()[:10], "1": W1.ravel()[10:]}}
        (tmp_path / "net.msgpack").write_bytes(packed({"a": {"x": pieces}}))
        assert np.array_equal(read_arrays(tmp_path / "net.msgpack")["a/x"], W1)
        for change in ({"chunks": {"0": None}}, {"chunks": 3}, {"shape": {"0": 5}}, {"shape": None}):
            (tmp_path / "net.msgpack").write_bytes(packed({"a": pieces | change}))
            with pytest.raises(ProblemFileError, match="pieces that"):
                read_arrays(tmp_path / "net.msgpack")

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"\x81\xa1a" + b"\xdd\xff\xff\xff\xff" * 9, "cannot be read"),
            (b"\xdf\xff\xff\xff\xff", "cannot be read"),
            (b"\x81\xa1a" * 2000 + b"\xc0", "cannot be read"),
            (b"\x82\xa1a\x01\xa1a\x02", "a name appears twice"),
            (b"\x93\x01\x02\x03", "not a map in msgpack"),
            (b"\x82\x01\x01\xa11\x02", "a name appears twice"),
            (b"\x81\xc3\x01", "neither a text nor the number"),
            (b"\x81\xff\x01", "neither a text nor the number"),
            (b"\x81\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00\x01", "neither a text nor the number"),
            (b"\x81\xc4\x01a\x01", "neither a text nor the number"),
            (b"\x81\x91\x01\x01", "neither a text nor the number"),
            (b"\x81\xa1a\x01\x00", "cannot be read"),
            (b"\x81\xa1a\xc7\x03\x01abc", "cannot be read"),
            (b"\x81\xa1a\xc7\x0f\x01\x93\x91\x02\xa6object\xc4\x03abc", "an array of type 'object'"),
            (b"\x81\xa1a\xc7\x10\x01\x93\x91\xcd\xff\xff\xa5uint8\xc4\x03abc", "cannot be read"),
        ],
    )
    def test_refused(self, tmp_path, content, message):
        pytest.importorskip("msgpack", reason="msgpack is not installed")
        (tmp_path / "net.msgpack").write_bytes(content)
        with pytest.raises(ProblemFileError, match=message):
            read_arrays(tmp_path / "net.msgpack")

    def test_cut_at_every_byte(self, tmp_path):
        content = packed(self.TREE["params"])
        for cut in range(len(content)):
            (tmp_path / "net.msgpack").write_bytes(content[:cut])
            with pytest.raises(ProblemFileError):
                read_arrays(tmp_path / "net.msgpack")

    def test_without_the_package(self, tmp_path, monkeypatch):
        (tmp_path / "net.msgpack").write_bytes(b"\x80")
        monkeypatch.setitem(sys.modules, "msgpack", None)
        with pytest.raises(MissingExtraError, match=r"needs msgpack, .* pip install \"kkt-identify\[checkpoints\]\""):
            read_arrays(tmp_path / "net.msgpack")


class TestEquinox:
    def test_read(self, tmp_path):
        (tmp_path / "net.eqx").write_bytes(b"".join(map(array_bytes, (W1, b1, W2, b2))))
        assert_network(tmp_path / "net.eqx")

    def test_as_equinox_writes_it(self, tmp_path):
        eqx = pytest.importorskip("equinox", reason="equinox is not installed")
        import jax

        for width in (6, 4):  # with the width of the inputs, shapes alone leave a choice: Equinox has (out, in)
            model = eqx.nn.MLP(4, 4, width, 1, key=jax.random.key(0))
            eqx.tree_serialise_leaves(tmp_path / "net.eqx", model)
            parts = [(layer.weight, layer.bias) for layer in model.layers]
            assert_network(tmp_path / "net.eqx", {f"{'Wb'[i]}{k}": x for k, p in enumerate(parts, 1) for i, x in enumerate(p)})
        norm = eqx.nn.Sequential(
            [eqx.nn.Linear(4, 6, key=jax.random.key(0)), eqx.nn.LayerNorm(6), eqx.nn.Linear(6, 2, key=jax.random.key(1))]
        )
        eqx.tree_serialise_leaves(tmp_path / "norm.eqx", norm)
        with pytest.raises(ProblemFileError, match="holds leaf0"):
            load_network(tmp_path / "norm.eqx")


class TestOnnx:
    def model(self, path, nodes, arrays, *, output="y", **options):
        onnx = pytest.importorskip("onnx", reason="onnx is not installed")
        helper, FLOAT = onnx.helper, onnx.TensorProto.DOUBLE
        made = [
            helper.make_node(kind, list(takes), [gives], **dict(extra))
            for kind, takes, gives, *extra in nodes
            for extra in [extra[0] if extra else {}]
        ]
        tensors = [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in arrays.items()]
        info = [helper.make_tensor_value_info(name, FLOAT, None) for name in ("x", output)]
        graph = helper.make_graph(made, "net", info[:1], info[1:], tensors)
        path.write_bytes(helper.make_model(graph, **options).SerializeToString())
        return path

    ARRAYS = {"A": W1, "b": b1, "B": W2.T.copy(), "c": b2}
    FIRST = ("Gemm", ("x", "A", "b"), "h", {"transB": 1})
    LAST = [("MatMul", ("s", "B"), "t"), ("Add", ("c", "t"), "y")]

    def test_relu(self, tmp_path):
        path = self.model(
            tmp_path / "n.onnx",
            [("Flatten", ("x",), "f"), ("Gemm", ("f", "A", "b"), "h", {"transB": 1}), ("Relu", ("h",), "s"), *self.LAST],
            self.ARRAYS,
        )
        network, rest = assert_network(path)
        assert str(network.activation) == "relu" and not rest

    @pytest.mark.parametrize(
        ("nodes", "constants", "expected"),
        [
            ([("Pow", ("h", "k"), "s")], {"k": np.float32(3)}, "z^3"),
            (
                [
                    ("Mul", ("h", "h"), "p"),
                    ("Mul", ("p", "h"), "q"),
                    ("Div", ("p", "two"), "r"),
                    ("Add", ("r", "q"), "v"),
                    ("Add", ("v", "h"), "s"),
                ],
                {"two": np.float64(2)},
                "z + z^2/2 + z^3",
            ),
            ([("Neg", ("h",), "p"), ("Mul", ("h", "p"), "q"), ("Sub", ("q", "k"), "s")], {"k": np.float64(0.25)}, "-z^2 - 1/4"),
        ],
    )
    def test_polynomials(self, tmp_path, nodes, constants, expected):
        path = self.model(tmp_path / "n.onnx", [self.FIRST, *nodes, *self.LAST], self.ARRAYS | constants)
        network, _ = assert_network(path)
        assert network.activation == idf.Activation.parse(expected)

    @pytest.mark.parametrize(
        ("nodes", "message"),
        [
            ([FIRST, ("Conv", ("h", "A"), "s"), *LAST], "has the operation Conv"),
            ([FIRST, ("Relu", ("h",), "s"), *LAST[:1], ("Add", ("c", "t"), "u"), ("Softmax", ("u",), "y")], "has the operation Softmax"),
            ([FIRST, ("Relu", ("h",), "s"), *LAST[:1], ("Add", ("c", "t"), "u"), ("Relu", ("u",), "y")], "does not end in a dense layer"),
            (
                [("MatMul", ("x", "C"), "g"), ("Relu", ("g",), "r"), ("Add", ("g", "b"), "h"), ("Mul", ("r", "h"), "s"), *LAST],
                "different layers",
            ),
            ([FIRST, ("Relu", ("h",), "r"), ("Add", ("r", "h"), "s"), *LAST], "computes with the values of relu"),
            ([("Gemm", ("x", "A", "b"), "y", {"transB": 1})], "has 1 dense layers"),
            ([FIRST, ("Relu", ("absent",), "s"), *LAST], "has Relu of values that are not known"),
            ([FIRST, ("Pow", ("h", "half"), "s"), *LAST], "gives no polynomial"),
            ([FIRST, ("Mul", ("h", "b"), "s"), *LAST], r"computes with b of shape \(6,\)"),
        ],
    )
    def test_refused(self, tmp_path, nodes, message):
        path = self.model(tmp_path / "n.onnx", nodes, self.ARRAYS | {"half": np.float32(0.5), "C": W1.T.copy()})
        with pytest.raises(ProblemFileError, match=message):
            read_arrays(path)

    def test_texts_that_are_no_texts(self, tmp_path):
        path = self.model(tmp_path / "n.onnx", [self.FIRST, ("Relu", ("h",), "s"), *self.LAST], self.ARRAYS)
        path.write_bytes(path.read_bytes().replace(b"Relu", b"R\xfflu"))
        with pytest.raises(ProblemFileError, match="R.xfflu|cannot be read"):
            read_arrays(path)

    def test_other_files_are_not_opened(self, tmp_path):
        onnx = pytest.importorskip("onnx", reason="onnx is not installed")
        path = self.model(tmp_path / "n.onnx", [self.FIRST, ("Relu", ("h",), "s"), *self.LAST], self.ARRAYS)
        model = onnx.load(path)
        onnx.external_data_helper.set_external_data(model.graph.initializer[0], "../../etc/hostname")
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ProblemFileError, match="in another file"):
            read_arrays(path)

    def test_as_pytorch_computes(self, tmp_path):
        """The same numbers as the reference implementation of ONNX."""
        onnx = pytest.importorskip("onnx.reference", reason="onnx is not installed")
        path = self.model(tmp_path / "n.onnx", [self.FIRST, ("Pow", ("h", "k"), "s"), *self.LAST], self.ARRAYS | {"k": np.float64(3)})
        X = RNG.standard_normal((5, 4))
        assert np.allclose(onnx.ReferenceEvaluator(str(path)).run(None, {"x": X})[0], load_network(path)[0](X), rtol=1e-12)

    def test_without_the_package(self, tmp_path, monkeypatch):
        (tmp_path / "n.onnx").write_bytes(b"\x08\x07")
        monkeypatch.setitem(sys.modules, "onnx", None)
        with pytest.raises(MissingExtraError, match=r"needs onnx, .* pip install \"kkt-identify\[onnx\]\""):
            read_arrays(tmp_path / "n.onnx")


class TestPyTorch:
    def test_training_checkpoints(self, tmp_path):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        tensors = {
            f"{k}.{part}": torch.tensor(v)
            for (k, part), v in zip(((0, "weight"), (0, "bias"), (2, "weight"), (2, "bias")), NETWORK.values(), strict=True)
        }
        optimizer = {"state": {0: {"momentum_buffer": tensors["0.weight"]}}, "param_groups": []}
        torch.save({"epoch": 3, "state_dict": tensors, "optimizer_state_dict": optimizer}, tmp_path / "n.ckpt")
        _, rest = assert_network(tmp_path / "n.ckpt")
        assert not rest

    def test_tensors_larger_than_their_file(self, tmp_path):
        torch = pytest.importorskip("torch", reason="PyTorch is not installed")
        torch.save({"0.weight": torch.ones(1).expand(10**6, 1000), "2.weight": torch.ones(1, 10**6)}, tmp_path / "n.pt")
        with pytest.raises(ProblemFileError, match=r"0.weight of shape \(1000000, 1000\) is larger than the file"):
            read_arrays(tmp_path / "n.pt")


SUFFIXES = ("npz", "safetensors", "pt", "msgpack", "eqx", "onnx", "unknown")


@pytest.mark.parametrize("suffix", SUFFIXES)
class TestFiles:
    def refused(self, path, message, error=ProblemFileError):
        for load in (load_network, idf.load_problem):
            with pytest.raises(error, match=message):
                load(path)

    def test_empty(self, tmp_path, suffix):
        (tmp_path / f"n.{suffix}").touch()
        self.refused(tmp_path / f"n.{suffix}", "is empty")

    def test_absent_and_loops(self, tmp_path, suffix):
        path = tmp_path / f"n.{suffix}"
        self.refused(path, "no such file")
        path.symlink_to(path)
        self.refused(path, "cannot be read")
        self.refused(f"\0.{suffix}", "no such file")

    def test_folders_and_pipes(self, tmp_path, suffix):
        (tmp_path / f"n.{suffix}").mkdir()
        self.refused(tmp_path / f"n.{suffix}", "is a folder")
        os.mkfifo(tmp_path / f"p.{suffix}")
        self.refused(tmp_path / f"p.{suffix}", "is a device or a pipe")

    def test_without_permission(self, tmp_path, suffix, monkeypatch):
        path = tmp_path / f"n.{suffix}"
        path.write_bytes(b"x")

        def refuse(*_, **__):
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
        self.refused(path, "Permission denied")

    def test_two_gibibytes_of_zeros(self, tmp_path, suffix):
        path = tmp_path / f"n.{suffix}"
        with path.open("wb") as file:
            file.truncate(2**31)
        before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
        self.refused(path, "n.", (ProblemFileError, TooLargeError, MissingExtraError))
        assert time.monotonic() - started < 5 and resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\0" * 2**20])
def test_on_the_command_line(tmp_path, monkeypatch, capsys, content):
    for suffix in ("npz", "safetensors", "onnx", "eqx"):
        path = tmp_path / f"n.{suffix}"
        path.write_bytes(content)
        for arguments in (("check", path, "-n", 1), ("recover", path), ("attack", path)):
            status, out, err = run(monkeypatch, capsys, *arguments)
            assert status == 2 and not out and err.startswith(f"identify: {path}: ") and err.count("\n") == 1


def test_a_full_disk_on_the_command_line(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.html"
    page.write_text("before")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    status, _, err = run(monkeypatch, capsys, "check", "-d", 2, "-n", 1, "-m", 3, "-a", "z + z^2", "--html", page)
    assert status == 2 and f"{page}: No space left on device; make room" in err and page.read_text() == "before"


def test_a_full_disk_under_a_checkpoint(tmp_path, monkeypatch):
    from identify.base.shards import write_shard

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ValueError, match="checkpoint: .* cannot be written .No space left on device.; make room"):
        write_shard(tmp_path / "s.npz", {"X": np.ones(2)})
    assert not list(tmp_path.iterdir())


def test_links_are_followed(tmp_path):
    np.savez(tmp_path / "n.npz", **NETWORK)
    (tmp_path / "link.npz").symlink_to("n.npz")
    assert_network(tmp_path / "link.npz")


class TestCertificates:
    def test_what_is_no_certificate(self, tmp_path):
        path = tmp_path / "proof.json"
        with path.open("wb") as file:
            file.truncate(2**31)
        started = time.monotonic()
        assert not idf.verify(path) and time.monotonic() - started < 2
        os.mkfifo(tmp_path / "pipe")
        for bad in (tmp_path, tmp_path / "pipe", tmp_path / "absent", "\0"):
            with pytest.raises(ValueError, match="cannot be read"):
                idf.verify(bad)
        path.write_bytes(b'{"a":' + b"[" * 2_000_000)
        assert "too much" in idf.verify(path).reasons[0]
        path.write_bytes(b"{" + b" " * 2**27)
        assert "too large" in idf.verify(path).reasons[0]

    def test_cut_at_every_byte(self, tmp_path):
        report = idf.check(idf.Configuration(inputs=2, samples=1, width=3, activation="z + z^2"))
        text = report.certificate().save(tmp_path / "proof.json").read_bytes().rstrip()
        assert idf.verify(tmp_path / "proof.json")
        for cut in range(len(text)):
            (tmp_path / "cut.json").write_bytes(text[:cut])
            assert not idf.verify(tmp_path / "cut.json")


class TestShards:
    @pytest.fixture
    def folder(self, tmp_path):
        system, _ = idf.Configuration(inputs=2, samples=2, width=8, activation="z + z^2 + z^3").plant()
        self.solve = lambda: idf.recover(system, samples=2, method="projection", starts=4, checkpoint=tmp_path / "store")
        self.solve()
        return tmp_path / "store"

    def test_cut_at_every_byte(self, folder):
        path = next(folder.glob("*.npz"))
        content = path.read_bytes()
        from identify.base.shards import read_shard

        for cut in range(len(content)):
            path.write_bytes(content[:cut])
            with pytest.raises(ProblemFileError, match="is damaged .* delete it"):
                read_shard(path)
        with pytest.raises(ProblemFileError, match="is damaged"):
            self.solve()
        path.unlink()
        self.solve()
        assert path.read_bytes() == content

    def test_arrays_that_are_missing_or_no_numbers(self, folder):
        path = next(folder.glob("*.npz"))
        np.savez(path, other=np.ones(2))
        with pytest.raises(ProblemFileError, match="is damaged .has no "):
            self.solve()
        np.savez(path, X=np.array(["text"]))
        with pytest.raises(ProblemFileError, match="X is <U4"):
            self.solve()

    def test_runs_of_attacks(self, tmp_path):
        from identify.attacks import MLP, buzaglo

        attack = buzaglo(MLP({"W1": np.eye(2), "W2": np.ones((1, 2))}, "z + z^2/2"), kind="weight-decay", rate=1e-3)
        run = lambda: idf.reconstruct(attack, candidates=2, steps=10, checkpoint=tmp_path / "store")  # noqa: E731
        first = run()
        path = next((tmp_path / "store").glob("*.npz"))
        assert np.array_equal(run().X, first.X)
        parts = read_arrays(path)
        for change, message in (
            ({"X": np.ones(2)}, "X has 1 dimensions, not 2"),
            ({"splits": np.ones((1, 5))}, "splits have 5 columns"),
            ({"value": None}, "has no value"),
        ):
            np.savez(path, **{name: value for name, value in (parts | change).items() if value is not None})
            with pytest.raises(ProblemFileError, match=f"is damaged .{message}.*delete it"):
                run()
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(ProblemFileError, match="is damaged"):
            run()


KILLED = """
import sys, time, numpy as np
from identify.checkpoints.problems import save_arrays
real = np.savez
def slow(file, **contents):
    real(file, **contents)
    file.flush()
    print("written", flush=True)
    time.sleep(60)
np.savez = slow
save_arrays(sys.argv[1], {"W": np.ones(1000)})
"""


class TestWriting:
    def test_killed_while_writing(self, tmp_path):
        path = save_arrays(tmp_path / "p.npz", {"W": np.zeros(3)})
        before = path.read_bytes()
        process = subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL and path.read_bytes() == before

    @pytest.mark.parametrize("place", ["write", "fsync", "replace"])
    def test_disk_full(self, tmp_path, monkeypatch, place):
        report = idf.check(idf.Configuration(inputs=2, samples=1, width=3, activation="z + z^2"))
        proof = report.certificate()
        writers = {"p.npz": lambda path: save_arrays(path, {"W": np.ones(3)}), "proof.json": proof.save, "page.html": report.to_html}
        for name in writers:
            (tmp_path / name).write_bytes(b"before")

        def full(*_, **__):
            raise OSError(errno.ENOSPC, "No space left on device")

        if place == "write":
            monkeypatch.setattr(np, "savez", lambda file, **_: (file.write(b"half"), full()))
            monkeypatch.setattr(Path, "write_text", full)
            monkeypatch.setattr(Path, "write_bytes", full)
        else:
            monkeypatch.setattr(os, place, full)
        for name, write in writers.items():
            with pytest.raises((ValueError, OSError), match=f"{name}.*No space left on device|No space left on device.*{name}"):
                write(tmp_path / name)
            assert (tmp_path / name).read_bytes() == b"before"
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(writers)
