"""The parts of training that decide whether work is done exactly once, and whether many ranks are as good as one."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from tests.workloads.conftest import training  # noqa: E402
from trimtab_workloads.common.config import ConfigError  # noqa: E402
from trimtab_workloads.train import checkpoint, data, model, sampling, state  # noqa: E402
from trimtab_workloads.train.config import TrainConfig  # noqa: E402
from trimtab_workloads.train.loop import Plan, gradients  # noqa: E402


@given(st.integers(1, 300), st.integers(1, 40), st.integers(1, 5), st.integers(1, 9), st.integers(0, 99))
def test_every_epoch_visits_each_sample_once_whatever_the_world_size(samples, batch, epochs, world_size, seed):
    plan = Plan(samples, epochs, batch)
    visits = np.zeros(samples, dtype=int)
    for step in range(plan.total_steps):
        _, indices = plan.batch_of(step, seed)
        shards = [sampling.shard(indices, rank, world_size) for rank in range(world_size)]
        assert max(map(len, shards)) - min(map(len, shards)) <= 1
        for shard in shards:
            visits[shard] += 1
    assert (visits == epochs).all()
    assert plan.total_samples == visits.sum()


@pytest.fixture(scope="module")
def digits():
    return data.load()


@given(batch=st.integers(1, 40), world_size=st.integers(1, 50), seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_the_gradients_of_uneven_shards_add_up_to_those_of_one_process(digits, batch, world_size, seed):
    network = model.create([4, 6], seed).double()
    indices = sampling.epoch_order(len(digits.train_x), seed, 0)[:batch]

    def part(mine):
        x = torch.from_numpy(sampling.augment(digits.train_x, mine, seed, 0)).double()
        return gradients(network, x, torch.from_numpy(digits.train_y[mine]), batch).double()

    whole = part(indices)
    parts = sum(part(sampling.shard(indices, rank, world_size)) for rank in range(world_size))
    torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-12)
    assert whole.abs().sum() > 0


def test_augmentation_depends_on_the_sample_and_not_on_its_company(digits):
    indices = np.array([5, 900, 17])
    together = sampling.augment(digits.train_x, indices, 3, 4)
    for i, index in enumerate(indices):
        np.testing.assert_array_equal(sampling.augment(digits.train_x, np.array([index]), 3, 4)[0], together[i])
    moved = (sampling.augment(digits.train_x, np.arange(1000), 3, 4) != digits.train_x[:1000]).any(axis=(1, 2, 3))
    assert 0.3 < moved.mean() < 0.5  # Half are shifted, of which one in nine by nothing.


def test_the_split_is_fixed_and_disjoint(digits):
    assert (len(digits.train_x), len(digits.held_out_x)) == (1437, 360)
    assert len(np.unique(np.concatenate([digits.train_x, digits.held_out_x]), axis=0)) == 1797
    np.testing.assert_array_equal(digits.held_out_x, data.load().held_out_x)


def test_a_model_comes_back_as_it_was():
    network = model.create([3, 5], 1)
    x = torch.rand(4, 1, 8, 8)
    torch.testing.assert_close(model.loads(model.dumps(network))(x), network(x))


def test_only_the_newest_checkpoints_are_kept(tmp_path):
    for step in range(6):
        checkpoint.save(tmp_path, step, b"step %d" % step)
    assert sorted(path.name for path in tmp_path.glob("*.pt")) == [f"checkpoint-{s:010d}.pt" for s in (3, 4, 5)]
    assert len(list(tmp_path.iterdir())) == 6
    assert checkpoint.load_newest(tmp_path) == b"step 5"


def damage(path):
    path.write_bytes(path.read_bytes()[:-3])


def lose_digest(path):
    path.with_name(path.name + ".sha256").unlink()


@pytest.mark.parametrize("harm", [damage, lose_digest, lambda path: path.write_bytes(b"")])
def test_a_bad_newest_checkpoint_falls_back_to_the_one_before(tmp_path, harm, capsys):
    checkpoint.save(tmp_path, 1, b"the first checkpoint")
    harm(checkpoint.save(tmp_path, 2, b"the second checkpoint"))
    assert checkpoint.load_newest(tmp_path) == b"the first checkpoint"
    assert "checkpoint_corrupt" in capsys.readouterr().out
    harm(tmp_path / "checkpoint-0000000001.pt")
    assert checkpoint.load_newest(tmp_path) is None


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    config = TrainConfig.model_validate(training(tmp_path))
    saved = state.dumps(state.start(config, 10), config)
    other = TrainConfig.model_validate(training(tmp_path, seed=8))
    with pytest.raises(ConfigError, match=r"seed: .* with 7, this one has 8"):
        state.loads(saved, other, 10)
    longer = TrainConfig.model_validate(training(tmp_path, epochs=9, worldSize=4))
    assert state.loads(saved, longer, 10).step == 0
