"""What is asked wrongly: one line that says what was found, what was expected and what to do, exit
code 2, and nothing written."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
from commands import complaint
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig

LOSSES = "w2sweep.experiment.losses"
GPT2 = ("task=pretend", "ladder=gpt2", "weak=gpt2", "strong=gpt2-medium")

WRONG = {
    "unknown key": (["recipe.epoch=3"], "recipe.epoch: unknown key; recipe has epochs, "),
    "near miss of a key": (["recipe.epoch=3"], "Did you mean recipe.epochs?"),
    "near miss at the root": (["sed=3"], "Did you mean seed?"),
    "added key": (["+recipe.batchsize=3"], "Did you mean recipe.batch_size?"),
    "wrong type": (
        ["recipe.epochs=three"],
        "recipe.epochs: found 'three' (str), expected a valid integer",
    ),
    "no integer": (["seed=1.5"], "w2sweep: seed: found 1.5 (float), expected a valid integer"),
    "impossible value": (["sizes.test=0"], "sizes.test: found 0 (int), expected greater than 0"),
    "negative seed": (["seed=-1"], "seed: found -1 (int), expected greater than or equal to 0"),
    "no rate": (
        ["ladder.rungs.nano.lr=-1"],
        "ladder.rungs.nano.lr: found -1 (int), expected greater than 0",
    ),
    "no finite number": (
        ["recipe.lr_scale=inf"],
        "recipe.lr_scale: found inf (float), expected a finite number",
    ),
    "a part of a value": (
        ["recipe.betas=[2,3]"],
        "recipe.betas.0: found 2 (int), expected less than 1",
    ),
    "no place for results": (["store=conf/task/pretend.yaml"], "cannot write to "),
    "nested value": (["ladder.rungs.nano.width=13"], "ladder.rungs.nano: width 13 over "),
    "no such choice": (
        ["cache=fast"],
        "cache: found 'fast' (str), expected 'retry', 'cached', 'force' or 'read-only'",
    ),
    "no such precision": (
        ["runtime.bf16=maybe"],
        "runtime.bf16: found 'maybe' (str), expected 'auto', 'yes' or 'no'",
    ),
    "unknown task": (["task=sentimnet"], "no task 'sentimnet'; there is "),
    "near miss of a task": (["task=sentimnet"], "Did you mean task=sentiment?"),
    "a base of tasks": (["task=base/nlp"], "task.name: missing; set task.name=..."),
    "unknown launcher": (["hydra/launcher=jobli"], "Did you mean hydra/launcher=joblib?"),
    "unknown rung": (
        ["strong=smal"],
        "strong: no rung 'smal' on ladder 'lab'; it has nano, micro, tiny, mini, small, medium, "
        "base. Did you mean strong=small?",
    ),
    "rungs of another ladder": (
        ["ladder=gpt2"],
        "weak: no rung 'nano' on ladder 'gpt2'; it has gpt2, gpt2-medium",
    ),
    "unknown sweep": (["-cn", "quickstar"], "no sweep 'quickstar'; there is "),
    "near miss of a sweep": (["-cn", "quickstar"], "Did you mean -cn quickstart?"),
    "no value": (["seed"], "cannot read 'seed': expected key=value"),
    "unbalanced value": (["seed=[1"], "cannot read 'seed=[1': expected key=value"),
    "nothing": (["weak=null"], "weak: found None (NoneType), expected a valid string"),
    "no group": (["task=null"], "Config group override must be a string or a list"),
    "unknown class": (
        [f"loss._target_={LOSSES}.No"],
        f"loss._target_: cannot import '{LOSSES}.No'",
    ),
    "no class": (
        [f"loss._target_={LOSSES}.base.grown"],
        f"'{LOSSES}.base.grown' is a function, expected a class",
    ),
    "another class": (
        ["loss._target_=w2sweep.experiment.tuning.Full", "~loss.hard"],
        "expected an instance of Loss",
    ),
    "to be given": (["task=csv"], "task.path: missing; set task.path=..."),
    "missing": (
        ["~sizes.test"],
        "sizes.test: missing; sizes needs it, so set sizes.test=...",
    ),
    "one cell of many": (
        ["seed=0,1", "recipe.epochs=3,x"],
        "cell recipe.epochs=x,seed=0: recipe.epochs: found 'x'",
    ),
    "impossible cell": (
        ["task=mate_in_one", "method=confidence"],
        "ConfidenceLoss needs two classes, but ",
    ),
    "what to do": (
        ["task=mate_in_one", "method=confidence"],
        "impossible=skip leaves such cells out",
    ),
    "completions of shards": (
        ["task=mate_in_one", "runtime.sharded=true"],
        "runtime.sharded=true: devices that hold one model together cannot work with a head that "
        "generates completions: use runtime.sharded=false",
    ),
    "8 bits of shards": (
        ["recipe.optimizer=adafactor", "runtime.sharded=true"],
        "cannot work with recipe.optimizer=adafactor: use runtime.sharded=false",
    ),
    "no regular expression": (
        ["supervision=simulated", "supervision.cue='(it'"],
        "supervision: cue: found '(it', expected a regular expression (missing ), unterminated "
        "subpattern",
    ),
    "a rule without a cue": (
        ["supervision=simulated", "supervision.errors=rule", "supervision.cue=null"],
        "supervision: errors=rule needs a cue, such as cue='^it is'",
    ),
    "no share": (
        ["supervision.noise=1.5"],
        "supervision.noise: found 1.5 (float), expected less than or equal to 1",
    ),
    "errors without classes": (
        ["supervision=simulated", "task=mate_in_one"],
        "simulated supervision errs by saying the other of two classes, but task mate_in_one has "
        "completions",
    ),
    "noise without classes": (
        ["supervision.noise=0.1", "task=mate_in_one"],
        "noise errs by saying the other of two ",
    ),
    "a target in words of no world": (
        ["task=mate_in_one", "method=transfer"],
        "method.target.adjectives: Interpolation key 'task.world.adjectives' not found, from which "
        "it is taken: set method.target.adjectives=..., or its whole method.target",
    ),
    "more tokens than the target has": (
        ["method=transfer", "method.tokens=1_000_001"],
        "method: tokens: found 1_000_001, but the target has 1_000_000",
    ),
    "no genre": (["task.world.genres={}"], "task.world.genres: found {} (dict), expected at least"),
    "an unknown genre": (["task.world.genres={poem:1}"], "expected 'review', 'article' or "),
    "a truth value for an early stop": (
        ["recipe.early_stop=true"],
        "recipe: early_stop: found true, expected none, own_labels or truth: what was true is "
        "early_stop=own_labels",
    ),
    "a reading of a run that stops": (
        ["method=naive_stopped", "recipe.early_stop=truth"],
        "but early_stop=truth does not keep it: set recipe.early_stop=none",
    ),
    "shots at zero-shot": (["method=zero_shot", "method.shots=3"], "use method=few_shot_weak"),
    "shots of completions": (
        ["method=few_shot_weak", "task=mate_in_one"],
        "demonstrations are shown where classes are asked for",
    ),
    "no class named": (["task.remark.names=[]"], "task.remark: names: found nothing, expected "),
    "a template without a slot": (
        ["task.wording.template=hello"],
        "task.wording: template: found the slots none, expected {text} once",
    ),
    "probes of completions": (
        ["method=saliency", "task=mate_in_one"],
        "a linear probe chooses between classes",
    ),
    "ratings that a ladder does not have": (
        ["method=easy_truth", "method.easy_to=1000"],
        "method.easy_to: found 1000, but task sentiment is judged by 5 rungs",
    ),
    "rungs of no ladder": (
        ["method=easy_truth", "task=mate_in_one", "method.rungs=[foo,nano]"],
        "no rung 'foo' on ladder 'lab'",
    ),
    "loss of another method": (
        ["loss.alpha_max=0.5"],
        "loss.alpha_max: unknown key; loss has hard",
    ),
    "a seed of 65 bits": (["seed=18446744073709551616"], "seed: found 18446744073709551616 (int)"),
    "another seed of 65 bits": (
        ["ladder.pretrain_seed=18446744073709551616"],
        "ladder.pretrain_seed: found 18446744073709551616 (int), expected less than ",
    ),
    "a number beyond all counters": (
        ["recipe.epochs=9223372036854775808"],
        "recipe.epochs: found 9223372036854775808 (int), expected less than ",
    ),
    "an empty range": (["seed=range(3,0)"], "seed=range(3,0): there is no such value"),
    "a pattern of nothing": (["method=glob(*x)"], "method=glob(*x): there is no such value"),
    "a pattern of no group": (["seed=glob(*)"], "seed=glob(*): there is no such value"),
    "an interval": (["seed=interval(0,1)"], "seed=interval(0,1): expected single values"),
    "dots for a class": (["task._target_=.."], "task._target_: cannot import '..'"),
    "one word for a class": (["loss._target_=Loss"], "loss._target_: cannot import 'Loss'"),
    "a number for a class": (["loss._target_=3"], "loss._target_: cannot import '3'"),
    "nothing for a class": (["loss._target_=null"], "loss._target_: cannot import 'None'"),
    "a class of Python's": (["task._target_=builtins.dict"], "'builtins.dict' is no value"),
    "a program": (["task._target_=subprocess.Popen"], "'subprocess.Popen' is no value"),
    "a program with arguments": (
        ["task._target_=subprocess.Popen", "+task.args=[touch,outputs]"],
        "task._target_: 'subprocess.Popen' is no value; expected a class with @value above it",
    ),
    "a program inside": (
        ["task.world._target_=subprocess.Popen"],
        "task.world._target_: 'subprocess.Popen' is no value",
    ),
    "a function of the system": (["runtime._target_=os.system"], "expected a class"),
    "a value that is none": (["loss._target_=w2sweep.Loss"], "'w2sweep.Loss' is no value"),
    "a class with something left to do": (
        ["method._target_=w2sweep.Method"],
        "method._target_: 'w2sweep.Method' lacks student",
    ),
    "one run": (["hydra.mode=RUN"], "hydra.mode: found RUN, expected MULTIRUN"),
    "a folder for each cell": (["hydra.job.chdir=true"], "hydra.job.chdir: found true"),
    "another sweeper": (["hydra/sweeper=basic"], "hydra/sweeper: found hydra._internal."),
    "no workers": (
        ["hydra/launcher=joblib", "hydra.launcher.n_jobs=0"],
        "hydra.launcher.n_jobs: found 0, expected a number of workers",
    ),
    "no workers of ours": (
        ["hydra/launcher=stages_local", "hydra.launcher.n_jobs=0"],
        "hydra.launcher.n_jobs: found 0, expected a number of workers",
    ),
    "no number of workers of ours": (
        ["hydra/launcher=stages_local", "hydra.launcher.n_jobs=x", "plan=true"],
        "hydra.launcher.n_jobs: found 'x' (str), expected ",
    ),
    "no number of workers": (
        ["hydra/launcher=joblib", "hydra.launcher.n_jobs=x"],
        "hydra.launcher.n_jobs: Value 'x' of type 'str' could not be converted to Integer",
    ),
    "no time": (
        ["hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=0"],
        "hydra.launcher.timeout_min: found 0, expected minutes",
    ),
    "a grid of launchers": (["hydra/launcher=joblib,basic"], "Sweeping over Hydra's configuration"),
    "an unknown key of a launcher": (["hydra.launcher.jobs=2"], "hydra.launcher.jobs: unknown key"),
    "threads for a cluster": (
        ["runtime.threads=100000"],
        "runtime.threads: found 100000 (int), expected less than or equal to 1024",
    ),
    "no threads": (
        ["runtime.threads=0"],
        "runtime.threads: found 0 (int), expected ",
    ),
    "no memory": (["runtime.micro_tokens=-1"], "runtime.micro_tokens: found -1 (int)"),
    "no time between checkpoints": (
        ["runtime.checkpoint_seconds=0"],
        "runtime.checkpoint_seconds: found 0 (int), expected greater than 0",
    ),
    "no rungs": (["ladder.rungs={}"], "ladder.rungs={} changes nothing, for it is merged"),
    "no sizes": (["sizes={}"], "sizes={} changes nothing"),
    "a context of one": (["ladder.tokenizer.context=1"], "ladder.tokenizer.context: found 1 (int)"),
    "a vocabulary of one": (
        ["ladder.tokenizer.kind=bpe", "ladder.tokenizer.vocabulary=1"],
        "ladder.tokenizer: vocabulary: found 1, expected at least 259 for kind=bpe",
    ),
    "no tokenizer": (["ladder.tokenizer=null"], "has homegrown rungs but no tokenizer"),
    "a number for a mapping": (["ladder.tokenizer=3"], "ladder.tokenizer: found 3 (int)"),
    "a number for a group": (["recipe=3"], "recipe=3: found a int, expected the name of a file"),
    "a list for a list of two": (["recipe.betas=[0.9]"], "recipe.betas.1: "),
    "a number for a list": (["recipe.betas=3"], "recipe.betas: found 3 (int), expected"),
    "a sweep above": (["sweep=../x"], "sweep: found '../x', expected the name of a folder"),
    "a sweep below": (["sweep=a/b"], "sweep: found 'a/b', expected the name of a folder"),
    "a sweep here": (["sweep=."], "sweep: found '.', expected the name of a folder"),
    "a sweep one above": (["sweep=.."], "sweep: found '..', expected the name of a folder"),
    "a sweep without a name": (['sweep=""'], "sweep: found '', expected the name of a folder"),
    "a blank sweep": (["sweep=' '"], "sweep: found ' ', expected the name of a folder"),
    "an absolute sweep": (["sweep=/tmp/x"], "sweep: found '/tmp/x', expected the name of a "),
    "a sweep of two lines": (["sweep='a\nb'"], "sweep: found 'a\\nb', expected the name of a "),
    "a long sweep": ([f"sweep={'x' * 101}"], "sweep: found 'xxx"),
    "a hidden sweep": (["sweep=.x"], "sweep: found '.x', expected the name of a folder"),
    "a backslash in a sweep": (["sweep='a\\b'"], "expected the name of a folder"),
    "a sweep that is a number": (["sweep=3"], "sweep: found 3 (int), expected a valid string"),
    "two sweeps": (["sweep=a,b"], "sweep=a,b: sweep changes no result, so it spans no grid"),
    "a grid of machines": (["runtime.threads=1,2"], "runtime.threads changes no result"),
    "a grid of trackers": (["tracking=none,wandb"], "tracking changes no result"),
    "a team in a project": (
        ["tracking=wandb", "tracking.project=team/proj"],
        "tracking: project: found 'team/proj', expected at most 128 characters, none of / ",
    ),
    "a question in a project": (["tracking=wandb", "tracking.project=why?"], "found 'why?'"),
    "no project": (["tracking=wandb", "tracking.project=''"], "tracking: project: found ''"),
    "a long project": (["tracking=wandb", f"tracking.project={'x' * 129}"], "project: found 'xxx"),
    "a path for a team": (["tracking=wandb", "tracking.entity=a/b"], "entity: found 'a/b'"),
    "a file for curves": (
        ["tracking=wandb", "tracking.dir=conf/task/pretend.yaml"],
        "tracking: dir: found 'conf/task/pretend.yaml', expected a folder",
    ),
    "no such mode": (["tracking=wandb", "tracking.mode=on"], "tracking.mode: found 'on' (str)"),
    "a key of no tracking": (
        ["tracking=none", "tracking.project=x"],
        "tracking.project: tracking is null, which has no keys",
    ),
    "no store": (["store=''"], "store: found '' (str), expected"),
    "no data root": (["data_root=''"], "data_root: found '' (str), expected"),
    "no folder of a model": (
        [*GPT2, "ladder.rungs.gpt2.model=/no/such"],
        "ladder.rungs.gpt2.model: there is no folder '/no/such' (seen from ",
    ),
    "no folder here": ([*GPT2, "ladder.rungs.gpt2.model=./mine"], "there is no folder './mine'"),
    "no folder of three": ([*GPT2, "ladder.rungs.gpt2.model=a/b/c"], "there is no folder 'a/b/c'"),
    "no folder at home": ([*GPT2, "ladder.rungs.gpt2.model='~/m'"], "there is no folder '~/m'"),
    "a folder without a model": (
        [*GPT2, "ladder.rungs.gpt2.model=conf"],
        "ladder.rungs.gpt2.model: the folder conf has no config.json",
    ),
    "no sets of students": (["sizes.student_sets=0"], "sizes.student_sets: found 0 (int)"),
    "no sets in a mapping": (["sizes={student_sets:0}"], "sizes.student_sets: found 0 (int)"),
    "a near miss in a mapping": (["sizes={tset:3}"], "Did you mean sizes.test?"),
    "a near miss of what is in no YAML": (
        ["sizes.studentsets=3"],
        "mean sizes.student_sets",
    ),
    "too short a corpus": (["ladder.corpus_tokens=0"], "ladder.corpus_tokens: found 0 (int)"),
    "a corpus of no length": (
        ["ladder=homegrown", "ladder.corpus_tokens=100", "task=pretend", "weak=nano"],
        "which has a length of its own: set ladder.corpus_tokens=null",
    ),
    "a key of a rung of the hub": (
        ["ladder.rungs.nano.revision=main"],
        "ladder.rungs.nano.revision: unknown key; ladder.rungs.nano has lr, width, depth, heads, ",
    ),
    "a near miss of a rung": (["ladder.rungs.nanoo.lr=1"], "Did you mean ladder.rungs.nano?"),
    "a key behind another": (
        ["method.loss.hard=true"],
        "method.loss is ${loss}: set hard ",
    ),
    "a key that is there, added": (["+seed=3"], "An item is already at 'seed'"),
    "a key that is not there, taken away": (["~nothing"], "'nothing' does not exist"),
    "what others read, taken away": (["~seed"], "'seed' not found"),
    "a grid with what one cell lacks": (
        ["task=pretend,sentiment", "task.failing=x"],
        "cell task.failing=x,task=sentiment: task.failing: unknown key",
    ),
    "a grid that lacks a key": (
        ["seed=0,1", "recipe.epocs=3"],
        "w2sweep: recipe.epocs: unknown",
    ),
    "a grid of a wrong type": (
        ["seed=0,1", "recipe.epochs=x"],
        "w2sweep: recipe.epochs: found",
    ),
    "a grid with a wrong first value": (
        ["recipe.epochs=x,3"],
        "cell recipe.epochs=x: recipe.epochs: found 'x'",
    ),
    "a grid to be shown": (
        ["--cfg", "job", "seed=0,1", "recipe.epocs=3"],
        "recipe.epocs: unkn",
    ),
    "a sweep of another place": (["-cn", "../quickstart"], "no sweep '../quickstart'; there is "),
    "a flag that is none": (["--fast"], "w2sweep --help shows what can be asked"),
    "no configuration": (["--cfg", "jobs"], "invalid choice: 'jobs'"),
    "half a flag": (["-cn"], "expected one argument"),
    "a flag of Hydra's": (["--experimental-rerun", "x"], "--experimental-rerun is of Hydra"),
    "no such folder": (["-cd", "nowhere"], "nowhere' not found"),
}

FILES = {
    "a sweep that is not UTF-8": (
        {"sweeps/old.yaml": b"# caf\xe9\nsweep: old\n"},
        ["-cn", "old"],
        "sweeps/old.yaml: not UTF-8 (invalid continuation byte): save it as UTF-8",
    ),
    "a choice that is not UTF-8": (
        {"conf/loss/mine.yaml": b"# caf\xe9\nhard: true\n"},
        ["loss=mine"],
        "conf/loss/mine.yaml: not UTF-8",
    ),
    "defaults in a circle": (
        {"sweeps/a.yaml": b"defaults: [b]\n", "sweeps/b.yaml": b"defaults: [a]\n"},
        ["-cn", "a"],
        "defaults: files name each other in a circle",
    ),
    "defaults of oneself": (
        {"conf/loss/mine.yaml": b"defaults: [mine]\n"},
        ["loss=mine"],
        "in a circle",
    ),
    "no YAML": ({"sweeps/a.yaml": b"a: [1\n"}, ["-cn", "a"], "a.yaml"),
    "a list for a sweep": ({"sweeps/a.yaml": b"- 1\n"}, ["-cn", "a"], "must be a DictConfig"),
    "settings of another project": (
        {"conf/local/default.yaml": b"# @package _global_\nlr: 0.1\n"},
        [],
        "lr: unknown key",
    ),
    "settings of another project, by their file": (
        {"conf/local/default.yaml": b"lr: 0.1\n"},
        [],
        "conf/local/default.yaml says so",
    ),
    "a wrong value in a file of one's own": (
        {"conf/experiment/mine.yaml": b"# @package _global_\nrecipe: {epochs: x}\n"},
        ["experiment=mine"],
        "recipe.epochs: found 'x' (str), expected a valid integer; ",
    ),
    "a name that is taken": (
        {"conf/loss/cross_entropy.yaml": b"_target_: mine.Loss\n"},
        [],
        "conf/loss/cross_entropy.yaml would never be read, for w2sweep has a file of that name",
    ),
    "a sweep whose name is taken": (
        {"sweeps/quickstart.yaml": b"defaults: [config]\n"},
        ["-cn", "quickstart"],
        "sweeps/quickstart.yaml would never be read",
    ),
    "a class that does not compile": (
        {"broken.py": b"class Mine(:\n", "conf/loss/mine.yaml": b"_target_: broken.Mine\n"},
        ["loss=mine"],
        "loss._target_: cannot import 'broken.Mine' (SyntaxError: invalid syntax (broken.py",
    ),
    "a class without @value": (
        {
            "unmarked.py": b"from w2sweep import Loss\nclass Mine(Loss):\n  a: float\n",
            "conf/loss/mine.yaml": b"_target_: unmarked.Mine\na: 1.0\n",
        },
        ["loss=mine"],
        "loss._target_: 'unmarked.Mine' is no value; expected a class with @value above it",
    ),
    "a task without fields": (
        {
            "fieldless.py": (
                b"from w2sweep import Task, value\n@value\nclass Mine(Task):\n"
                b"  def examples(self): ...\n  corpus = None\n"
            ),
            "conf/task/mine.yaml": b"_target_: fieldless.Mine\nname: mine\n",
        },
        ["task=mine", "sizes={supervisor:9,student:9,validation:9,test:9}"],
        "task.name: unknown key; Mine declares no fields: below @value and 'class Mine', write "
        "'name: str'",
    ),
}
"""Files of the user's, a command, and what it says."""


def test_the_table_is_long():
    assert len(WRONG) + len(FILES) >= 100


@pytest.mark.parametrize("case", FILES)
def test_a_wrong_file_is_one_line_and_code_2_before_anything_runs(
    case, folder, monkeypatch, capsys
):
    files, arguments, expected = FILES[case]
    monkeypatch.syspath_prepend(folder)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    code, line = complaint(monkeypatch, capsys, *arguments)
    assert code == 2
    assert line.startswith("w2sweep: ")
    assert expected in line
    assert line.count("\n") == 1
    assert not (folder / "outputs").exists()


@pytest.fixture(scope="module")
def read_once() -> Iterator[None]:
    """What Hydra composes is composed once for all cases: that takes most of their time."""
    read, found = ConfigLoaderImpl.load_configuration, dict[tuple, DictConfig]()

    def reads(self, config_name, overrides, run_mode, *more, **options):
        key = (config_name, *overrides, run_mode)
        if key not in found:
            found[key] = read(self, config_name, overrides, run_mode, *more, **options)
        return copy.deepcopy(found[key])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigLoaderImpl, "load_configuration", reads)
        yield


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_command_is_one_line_and_code_2_before_anything_runs(
    case, folder, monkeypatch, capsys, read_once
):
    arguments, expected = WRONG[case]
    code, line = complaint(monkeypatch, capsys, *arguments)
    assert code == 2
    assert line.startswith("w2sweep: ")
    assert expected in line
    assert line.count("\n") == 1
    assert not (folder / "outputs").exists()
