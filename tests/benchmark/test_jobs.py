"""Which jobs are made of the names that the command is given."""

import dataclasses

import pytest

from draw_tf.benchmark import jobs
from draw_tf.benchmark.jobs import Job, make_jobs
from draw_tf.config import DRAWConfig, TrainConfig
from draw_tf.errors import ConfigError
from draw_tf.models.recurrence import auto_unroll
from draw_tf.training import trainer
from tests.support.numerics import small_config


def test_jobs_cover_what_was_asked_for():
    made = make_jobs(["article", "paper"], ["graph", "xla"], ["train"], [], unroll=3)
    assert [str(job) for job in made] == ["article, graph, train", "article, xla, train",
                                          "paper, graph, train", "paper, xla, train"]
    assert {job.unroll for job in made} == {3}
    assert [job.config.batch_size for job in made] == [64, 64, 100, 100]


def test_tasks_follow_each_other_within_a_mode():
    made = make_jobs(["article"], ["graph", "xla"], ["train", "generate"], [])
    assert [(job.mode, job.task) for job in made] == [
        ("graph", "train"), ("graph", "generate"), ("xla", "train"), ("xla", "generate")]


@pytest.mark.parametrize("sweep", jobs.SWEEPS)
def test_a_sweep_changes_one_setting_alone(sweep):
    [article] = make_jobs(["article"], ["xla"], ["train"], [])
    same = dataclasses.asdict(article.model_config) | dataclasses.asdict(article.config)
    field, values = jobs.SWEEPS[sweep]
    seen = []
    for job in make_jobs([], ["xla"], ["train"], [sweep]):
        fields = dataclasses.asdict(job.model_config) | dataclasses.asdict(job.config)
        assert {name for name in fields if fields[name] != same[name]} <= {field}
        assert (job.sweep, job.name) == (sweep, f"{sweep}={fields[field]}")
        seen.append(fields[field])
    assert seen == list(values)[:len(seen)] and len(seen) >= 5


@pytest.mark.parametrize("kind, largest", [("CPU", 256), ("GPU", 1024)])
def test_the_largest_batch_depends_on_the_device(kind, largest, monkeypatch):
    monkeypatch.setattr(jobs, "device_kind", lambda: kind)
    *_, last = make_jobs([], ["xla"], ["train"], ["batch"])
    assert last.config.batch_size == largest


@pytest.mark.parametrize("unroll, unrolled", [(0, auto_unroll(5)), (2, 2), (5, 5), (9, 5)])
def test_unrolled_are_all_glimpses_at_most(unroll, unrolled):
    job = Job("five", DRAWConfig(glimpses=5), TrainConfig(unroll=unroll), "xla", "train")
    assert job.unroll == unrolled


@pytest.mark.parametrize("mode, task, steps", [
    ("xla", "train", 8), ("graph", "train", 8), ("eager", "train", 1), ("xla", "generate", 1)])
def test_only_training_in_a_graph_takes_several_steps_per_call(mode, task, steps):
    job = Job("tiny", DRAWConfig(), TrainConfig(steps_per_call=8), mode, task)
    assert job.steps_per_call == steps


@pytest.mark.parametrize("kind, steps", [("CPU", 8), ("GPU", 32)])
def test_a_call_has_the_steps_that_suit_the_device(monkeypatch, kind, steps):
    monkeypatch.setattr(trainer, "device_kind", lambda: kind)
    assert Job("tiny", DRAWConfig(), TrainConfig(), "xla", "train").steps_per_call == steps
    assert trainer.Trainer(small_config(), TrainConfig(jit_compile=False)).steps_per_call == steps


@pytest.mark.parametrize("wrong, message", [
    (dict(configs=["rnn"]), "configs must be among article, paper, got 'rnn'"),
    (dict(modes=["fast"]), "modes must be among eager, graph, xla, got 'fast'"),
    (dict(tasks=["sleep"]), "tasks must be among train, generate, got 'sleep'"),
    (dict(sweeps=["noise"]), "sweep must be among batch, glimpses, size, got 'noise'"),
    (dict(unroll=-1), "unroll must be a whole number of at least 0, got -1")])
def test_what_is_not_known_is_refused(wrong, message):
    known = dict(configs=["article"], modes=["xla"], tasks=["train"], sweeps=[])
    with pytest.raises(ConfigError, match=message):
        make_jobs(**{**known, **wrong})
