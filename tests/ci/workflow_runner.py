"""Runs a workflow of GitHub Actions step by step: our YAML, real bash and git, stand-ins for four actions.

What it does not know is an error: an action, a key of a step, a context, a function. So a workflow that runs
here uses nothing that was not thought of.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from workflow_expressions import Scope

_STEP_KEYS = {
    "id",
    "name",
    "if",
    "uses",
    "with",
    "run",
    "env",
    "shell",
    "working-directory",
    "continue-on-error",
}
_JOB_KEYS = {"if", "runs-on", "timeout-minutes", "permissions", "steps"}
_TIMEOUT_S = 120.0


@dataclass
class Ran:
    """One step that was run."""

    name: str
    script: str
    """What bash was given, or the action's name."""
    environ: Mapping[str, str]
    """What the step added to the environment, and the inputs of an action."""
    outcome: str = "skipped"
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""


@dataclass
class Done:
    """What became of a workflow: not triggered (empty), or the conclusion of its only job."""

    conclusion: str = ""
    steps: list[Ran] = field(default_factory=list)
    summary: str = ""
    permissions: Any = None
    group: str = ""
    cancels: bool = False
    """It ends what runs in its group."""

    def step(self, name: str) -> Ran:
        return next(step for step in self.steps if step.name == name)

    @property
    def log(self) -> str:
        return "\n".join(f"== {step.name}: {step.outcome}\n{step.log}" for step in self.steps)


@dataclass
class Actions:
    """GitHub Actions for one repository."""

    folder: Path
    origin: Path
    """The bare repository that checkouts come from."""
    repository: str
    api_url: str
    token: str
    python: str
    """Program that scripts get as `python`."""
    default_branch: str = "main"
    variables: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    """Of the runner itself, in every step."""
    stand_ins: dict[str, Callable[[Ran, Path], dict[str, str]]] = field(default_factory=dict)
    """Id of a step → what is done in its place; its outputs."""
    artifacts: dict[tuple[str, str], Path] = field(default_factory=dict)
    """Run and name → folder."""

    def run(
        self, file: Path, event: str, payload: Mapping[str, Any], *, run_id: int = 1, **github: Any
    ) -> Done:
        """Runs a workflow for an event, if it wants it."""
        workflow = load(file)
        done = Done()
        if not triggered(workflow["on"], event, payload, self.default_branch):
            return done
        return _Job(self, workflow, event, payload, str(run_id), github, done).run()


def load(file: Path) -> dict[str, Any]:
    """YAML whose scalars stay text: `on` is no boolean, and neither does GitHub take `"true"` for one."""
    loaded = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    assert isinstance(loaded, dict)
    return loaded


def triggered(on: Mapping[str, Any], event: str, payload: Mapping[str, Any], main: str) -> bool:
    if event not in on:
        return False
    rules = on[event] or {}
    assert set(rules) <= {"types", "branches", "workflows"}, rules
    if "types" in rules and payload.get("action") not in rules["types"]:
        return False
    if "workflows" in rules and payload["workflow"]["name"] not in rules["workflows"]:
        return False
    return "branches" not in rules or payload["ref"] in [f"refs/heads/{name}" for name in rules["branches"]]


class _Job:
    """The one job of a workflow."""

    def __init__(
        self,
        actions: Actions,
        workflow: dict[str, Any],
        event: str,
        payload: Mapping[str, Any],
        run_id: str,
        github: Mapping[str, Any],
        done: Done,
    ) -> None:
        self._actions, self._workflow, self._done, self._run_id = actions, workflow, done, run_id
        self._temp = actions.folder / "temp"
        self._workspace = actions.folder / "work"
        self._event = event
        self._payload = payload
        self._path: list[str] = []
        self._github = {
            "event_name": event,
            "event": payload,
            "repository": actions.repository,
            "run_id": run_id,
            "token": actions.token,
            "actor": payload.get("sender", {}).get("login", ""),
            "ref": payload.get("ref") or f"refs/pull/{payload.get('number', 0)}/merge",
            **github,
        }

    def run(self) -> Done:
        scope = Scope({"github": self._github, "vars": self._actions.variables, "inputs": {}}, {})
        concurrency = self._workflow.get("concurrency", {})
        self._done.group = scope.fill(concurrency.get("group", ""))
        self._done.cancels = scope.fill(concurrency.get("cancel-in-progress", "false")) == "true"
        (job,) = self._workflow["jobs"].values()
        assert set(job) <= _JOB_KEYS, job
        self._done.permissions = job.get("permissions", self._workflow.get("permissions"))
        if not scope.condition(job.get("if")):
            self._done.conclusion = "skipped"
            return self._done
        # A runner of one's own keeps its workspace, and empties this.
        shutil.rmtree(self._temp, ignore_errors=True)
        self._temp.mkdir(parents=True)
        self._workspace.mkdir(exist_ok=True)
        _, healthy = self._steps(job["steps"], {"vars": self._actions.variables}, {}, True)
        self._done.conclusion = "success" if healthy else "failure"
        return self._done

    def _steps(
        self,
        steps: list[dict[str, Any]],
        contexts: Mapping[str, Any],
        environ: Mapping[str, str],
        healthy: bool,
    ) -> tuple[dict[str, Any], bool]:
        """Runs steps in order; what the context `steps` holds then, and whether all went well."""
        told: dict[str, Any] = {}
        for index, step in enumerate(steps):
            assert set(step) <= _STEP_KEYS, step
            states = {"success": healthy, "failure": not healthy, "always": True, "cancelled": False}
            runner = {"temp": str(self._temp), "os": "Linux"}
            scope = Scope({"github": self._github, "runner": runner, **contexts, "steps": told}, states)
            name = step.get("id") or step.get("name") or step.get("uses") or f"step {index + 1}"
            ran = Ran(name, "", {})
            if scope.condition(step.get("if")):
                self._one(step, scope, environ, ran)
            self._done.steps.append(ran)
            if "id" in step:
                told[step["id"]] = {"outputs": ran.outputs, "outcome": ran.outcome}
            if ran.outcome == "failure" and step.get("continue-on-error") != "true":
                healthy = False
        return told, healthy

    def _one(self, step: dict[str, Any], scope: Scope, environ: Mapping[str, str], ran: Ran) -> None:
        own = {key: scope.fill(value) for key, value in step.get("env", {}).items()}
        if "uses" in step:
            given = {key: scope.fill(value) for key, value in step.get("with", {}).items()}
            ran.script, ran.environ = step["uses"], given
            self._use(step["uses"], given, {**environ, **own}, ran)
            return
        ran.script, ran.environ = scope.fill(step["run"]), {**environ, **own}
        stand_in = self._actions.stand_ins.get(step.get("id", ""))
        if stand_in is not None:
            ran.outputs, ran.outcome = stand_in(ran, self._temp), "success"
            return
        folder = self._workspace / scope.fill(step.get("working-directory", "."))
        self._bash(ran, folder, explicit="shell" in step)

    def _bash(self, ran: Ran, folder: Path, *, explicit: bool) -> None:
        files = {name: self._temp / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.write_text("")
        event, script = self._temp / "event.json", self._temp / "script.sh"
        event.write_text(json.dumps(self._payload))
        script.write_text(ran.script)
        options = ["--noprofile", "--norc", "-eo", "pipefail"] if explicit else ["-e"]
        done = subprocess.run(
            ["bash", *options, str(script)],
            cwd=folder,
            env={**self._base_environ(), **ran.environ, **{k: str(v) for k, v in files.items()}},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S,
            check=False,
        )
        ran.log = done.stdout.decode(errors="replace")
        ran.outcome = "success" if done.returncode == 0 else "failure"
        ran.outputs = parse_outputs(files["GITHUB_OUTPUT"].read_text())
        self._done.summary += files["GITHUB_STEP_SUMMARY"].read_text()

    def _base_environ(self) -> dict[str, str]:
        home = self._actions.folder / "home"
        home.mkdir(exist_ok=True)
        return {
            "PATH": os.pathsep.join([*self._path, os.environ["PATH"]]),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_API_URL": self._actions.api_url,
            "GITHUB_EVENT_NAME": self._event,
            "GITHUB_EVENT_PATH": str(self._temp / "event.json"),
            "GITHUB_REPOSITORY": self._actions.repository,
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_RUN_ID": self._run_id,
            "GITHUB_WORKSPACE": str(self._workspace),
            "RUNNER_TEMP": str(self._temp),
            **self._actions.environ,
        }

    def _use(self, action: str, given: dict[str, str], environ: Mapping[str, str], ran: Ran) -> None:
        if action.startswith("./"):
            self._composite(self._workspace / action, given, environ, ran)
            return
        known = {
            "actions/checkout": self._checkout,
            "actions/setup-python": self._setup_python,
            "actions/upload-artifact": self._upload,
            "actions/download-artifact": self._download,
        }
        known[action.partition("@")[0]](given, ran)

    def _composite(self, folder: Path, given: dict[str, str], environ: Mapping[str, str], ran: Ran) -> None:
        action = load(folder / "action.yml")
        declared = action["inputs"]
        assert set(given) <= set(declared), f"{given} for {list(declared)}"
        missing = [
            name for name, rule in declared.items() if rule.get("required") == "true" and name not in given
        ]
        assert not missing, f"inputs {missing} are missing"
        inputs = {name: given.get(name, rule.get("default", "")) for name, rule in declared.items()}
        outer, self._github = self._github, {**self._github, "action_path": str(folder.resolve())}
        for step in action["runs"]["steps"]:
            assert "shell" in step or "uses" in step, f"a step of a composite action has no shell: {step}"
        told, healthy = self._steps(action["runs"]["steps"], {"inputs": inputs}, environ, True)
        self._github = outer
        scope = Scope({"steps": told}, {})
        ran.outputs = {name: scope.fill(rule["value"]) for name, rule in action["outputs"].items()}
        ran.outcome = "success" if healthy else "failure"

    def _checkout(self, given: dict[str, str], ran: Ran) -> None:
        assert given["persist-credentials"] == "false", "the token would stay in the clone"
        assert not set(given) - {"ref", "path", "fetch-depth", "persist-credentials", "token"}, given
        folder = self._workspace / given.get("path", ".")
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / ".git").exists():
            git(folder, "init", "--quiet", "--initial-branch=none")
            git(folder, "remote", "add", "origin", f"https://github.com/{self._actions.repository}")
            git(folder, "config", "gc.auto", "0")
        real = ("-c", f"url.{self._actions.origin}.insteadOf=https://github.com/{self._actions.repository}")
        ref, sha = given["ref"], re.fullmatch("[0-9a-f]{40}", given["ref"])
        fetch = (*real, "fetch", "--quiet", "--prune", "--no-tags")
        if given.get("fetch-depth") == "0":
            git(folder, *fetch, "origin", "+refs/heads/*:refs/remotes/origin/*")
            if sha and not known(folder, ref):
                git(folder, *fetch, "origin", ref)
        else:
            target = ref if sha else f"+refs/heads/{ref}:refs/remotes/origin/{ref}"
            git(folder, *fetch, "--depth=1", f"file://{self._actions.origin}", target)
        git(folder, "clean", "-ffdxq")
        git(folder, "checkout", "--quiet", "--force", "--detach", ref if sha else f"origin/{ref}")
        ran.outcome = "success"

    def _setup_python(self, given: dict[str, str], ran: Ran) -> None:
        # The Python of these tests, under the name that scripts call.
        folder = self._temp / "python"
        folder.mkdir()
        script = folder / "python"
        script.write_text(f'#!/bin/sh\nexec "{self._actions.python}" "$@"\n')
        script.chmod(0o755)
        self._path.insert(0, str(folder))
        ran.outcome = "success"

    def _upload(self, given: dict[str, str], ran: Ran) -> None:
        kept = self._actions.folder / "artifacts" / self._run_id / given["name"]
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(given["path"], kept)
        self._actions.artifacts[self._run_id, given["name"]] = kept
        ran.outcome = "success"

    def _download(self, given: dict[str, str], ran: Ran) -> None:
        assert given["github-token"], "another run's artifact needs a token"
        kept = self._actions.artifacts.get((given["run-id"], given["name"]))
        if kept is None:
            ran.outcome = "failure"
            return
        shutil.copytree(kept, given["path"], symlinks=True)
        ran.outcome = "success"


def parse_outputs(text: str) -> dict[str, str]:
    """`name=value`, or `name<<END` and lines up to END."""
    outputs, lines = {}, iter(text.splitlines())
    for line in lines:
        name, sign, rest = re.fullmatch(r"([\w-]+)(=|<<)(.*)", line).groups()  # type: ignore[union-attr]
        outputs[name] = rest if sign == "=" else "\n".join(iter(lambda: next(lines), rest))
    return outputs


def known(folder: Path, sha: str) -> bool:
    done = subprocess.run(
        ["git", "cat-file", "-e", sha + "^{commit}"], cwd=folder, capture_output=True, check=False
    )
    return done.returncode == 0


def git(folder: Path, *arguments: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"git {arguments}: {done.stderr}"
