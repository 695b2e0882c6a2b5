"""A GitHub with the REST calls about runners, runs and jobs that a launcher uses, and a service for the stand-in agent.

The REST part follows GitHub's own pages (GHES form: <url>/api/v3) and is strict. The part under /_agent is ours: the real
agent's protocol is not public, and the official agent is not to be had everywhere."""

import base64
import hashlib
import io
import json
import os
import re
import secrets
import tarfile
import threading
import time
import urllib.parse

from support.ci.web import Fake, Refusal

HERE = os.path.dirname(os.path.abspath(__file__))


def agent_tarball(version):
    """The stand-in, packed as the official agent is: files at the top, no leading folder of its own."""
    root = os.path.join(HERE, "actions-runner")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as t:
        for folder, _, names in os.walk(root):
            for n in sorted(names):
                p = os.path.join(folder, n)
                info = t.gettarinfo(p, "./" + os.path.relpath(p, root))
                info.uid = info.gid = 1001
                info.uname = info.gname = "runner"
                with open(p, "rb") as f:
                    data = f.read().replace(b"@VERSION@", version.encode())
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
    return out.getvalue()


class FakeGitHub(Fake):
    VERSION = "2.336.0"

    def __init__(self, version=VERSION, host="127.0.0.1"):
        super().__init__(host)
        self.api = self.url + "/api/v3"
        self.version_ = version
        self.tokens = {"ghp-good": {"repo", "admin:org"}}
        self.repos = {"acme/demo"}
        self.orgs = {"acme"}
        self.runners = {}
        self.removed = []  # runners that are gone, and how
        self.jobs = {}
        self.runs = {}
        self.registration = {}  # token → (scope, what, expires)
        self.next = 1000
        self.lost_after = 10.0  # seconds without a word from a busy agent
        self.ephemeral_lag = 0.0  # seconds until the service drops an ephemeral runner whose job is done
        self.poll = 0.5
        self.hooks_allowed = True  # the service's flag DistributedTask.AllowRunnerContainerHooks
        self.tarball = agent_tarball(version)
        self.checksum = hashlib.sha256(self.tarball).hexdigest()
        self.max_age_version = None  # agents of another version are told to go: exit code 7
        self.downloads_at = None  # address of another server that download URLs lead to
        me = FakeGitHub
        a = "/api/v3"
        scope = r"(?:repos/([^/]+/[^/]+)|orgs/([^/]+))"
        s = a + "/" + scope + "/actions/runners"
        r = a + r"/repos/([^/]+/[^/]+)/actions"
        self.routes = [
            ("GET", a + "/meta", me.meta),
            ("GET", a + "/user", me.user),
            ("GET", a + r"/repos/([^/]+/[^/]+)", me.repo),
            ("POST", s + "/registration-token", me.registration_token),
            ("POST", s + "/remove-token", me.remove_token),
            ("POST", s + "/generate-jitconfig", me.jit),
            ("GET", s + "/downloads", me.downloads),
            ("GET", s, me.list_runners),
            ("GET", s + r"/(\d+)", me.get_runner),
            ("DELETE", s + r"/(\d+)", me.delete_runner),
            ("GET", s.replace("/actions/runners", "/actions/runner-groups"), me.groups),
            ("GET", r + "/runs", me.list_runs),
            ("GET", r + r"/runs/(\d+)", me.get_run),
            ("GET", r + r"/runs/(\d+)/jobs", me.run_jobs),
            ("GET", r + r"/jobs/(\d+)", me.get_job),
            ("POST", r + r"/runs/(\d+)/(cancel|force-cancel|rerun|rerun-failed-jobs)", me.run_action),
            ("POST", r + r"/jobs/(\d+)/rerun", me.rerun_job),
            ("POST", a + "/actions/runner-registration", me.runner_registration),
            ("GET", r"/_dl/(.+)", me.download),
            ("POST", "/_agent/configure", me.configure),
            ("POST", "/_agent/remove", me.agent_remove),
            ("POST", "/_agent/session", me.session),
            ("DELETE", "/_agent/session", me.end_session),
            ("GET", "/_agent/message", me.message),
            ("POST", r"/_agent/job/(\d+)/(renew|log|done)", me.job_word),
        ]
        threading.Thread(target=self._watch, daemon=True).start()

    # ---- what a test does
    def add_job(self, labels, steps, container=None, services=None, repo="acme/demo", name="train", run=None, workflow="ci", **extra):
        """steps: [{"run": "…"}, {"js": "/path"}, {"docker": {...}}]. container: {"image": …, "options": …, …}."""
        with self.changed:
            self.next += 1
            jid = self.next
            if run is None:
                self.next += 1
                run = self.next
                self.runs[run] = {"id": run, "repo": repo, "attempt": 1, "workflow": workflow}
            j = {
                "id": jid,
                "run": run,
                "repo": repo,
                "name": name,
                "labels": [x.lower() for x in labels],
                "steps": steps,
                "container": container,
                "services": services or {},
                "status": "queued",
                "conclusion": None,
                "runner_id": None,
                "runner_name": None,
                "log": "",
                "cancel": False,
                "attempt": self.runs[run]["attempt"],
                "heard": 0.0,
                "annotations": [],
            }
            j.update(extra)
            self.jobs[jid] = j
            self.changed.notify_all()
            return j

    def cancel(self, job):
        with self.changed:
            if job["status"] == "queued":
                job.update(status="completed", conclusion="cancelled")
            else:
                job["cancel"] = True
            self.changed.notify_all()

    def online(self, name=None):
        return [x for x in self.runners.values() if x["session"] and (name is None or x["name"] == name)]

    def finished(self, job):
        return job["status"] == "completed"

    # ---- who may
    def person(self, r, *scopes):
        if not r.headers.get("User-Agent"):
            raise Refusal(403, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header")
        auth = r.headers.get("Authorization") or ""
        m = re.fullmatch(r"(?i)(?:bearer|token) (.+)", auth)
        if auth.lower().startswith("basic "):
            t = base64.b64decode(auth[6:]).decode().partition(":")[2]
        elif m:
            t = m[1]
        else:
            raise Refusal(401, {"message": "Requires authentication", "status": "401"})
        if t not in self.tokens:
            raise Refusal(401, {"message": "Bad credentials", "status": "401"})
        if scopes and not set(scopes) & self.tokens[t]:
            raise Refusal(403, {"message": "Resource not accessible by personal access token", "status": "403"})
        return t

    def scope(self, r, repo, org):
        self.person(r, "repo" if repo else "admin:org")
        if repo and repo not in self.repos or org and org not in self.orgs:
            raise Refusal(404, {"message": "Not Found", "status": "404"})
        return repo or org

    def meta(self, r):
        return 200, {"verifiable_password_authentication": False, "installed_version": "3.17.0"}

    def user(self, r):
        self.person(r)
        return 200, {"login": "bot"}

    def repo(self, r, repo):
        self.scope(r, repo, None)
        return 200, {"full_name": repo, "private": True}

    # ---- runners
    def registration_token(self, r, repo, org):
        what = self.scope(r, repo, org)
        t = "AREG" + secrets.token_hex(8).upper()
        self.registration[t] = ("registration", what, time.monotonic() + 3600)
        return 201, {"token": t, "expires_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))}

    def remove_token(self, r, repo, org):
        what = self.scope(r, repo, org)
        t = "AREM" + secrets.token_hex(8).upper()
        self.registration[t] = ("remove", what, time.monotonic() + 3600)
        return 201, {"token": t, "expires_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))}

    def make(self, what, name, labels, ephemeral, jit):
        with self.changed:
            for x in self.runners.values():
                if x["name"] == name and x["what"] == what:
                    raise Refusal(409, {"message": "Already exists - A runner with the name %s already exists." % name, "status": "409"})
            self.next += 1
            x = {
                "id": self.next,
                "name": name,
                "what": what,
                "labels": labels,
                "ephemeral": ephemeral,
                "jit": jit,
                "session": None,
                "busy": None,
                "secret": secrets.token_hex(16),
                "heard": 0.0,
                "made": time.monotonic(),
            }
            self.runners[x["id"]] = x
            self.changed.notify_all()
        return x

    def jit(self, r, repo, org):
        what = self.scope(r, repo, org)
        if (r.headers.get("Content-Type") or "").split(";")[0] != "application/json":
            self.violation("generate-jitconfig without a JSON content type")
        f = r.json()
        for k in ("name", "runner_group_id", "labels"):
            if k not in f:
                raise Refusal(422, {"message": "Invalid request.\n\nInvalid input: object is missing required key: %s." % k, "status": "422"})
        if not isinstance(f["labels"], list) or not 1 <= len(f["labels"]) <= 100:
            raise Refusal(422, {"message": "Invalid labels", "status": "422"})
        if not re.fullmatch(r"[\w.-]{1,64}", f["name"]):
            raise Refusal(422, {"message": "Invalid name", "status": "422"})
        if f["runner_group_id"] == 2:
            raise Refusal(403, {"message": "Forbidden", "status": "403"})
        if f["runner_group_id"] != 1:
            raise Refusal(404, {"message": "Not Found", "status": "404"})
        x = self.make(what, f["name"], f["labels"], True, True)
        x["work_folder"] = f.get("work_folder") or "_work"
        files = {
            ".runner": json.dumps(
                {
                    "AgentId": str(x["id"]),
                    "AgentName": x["name"],
                    "PoolId": "1",
                    "PoolName": "Default",
                    "Ephemeral": "True",
                    "ServerUrl": self.url + "/_agent/",
                    "WorkFolder": x["work_folder"],
                    "UseV2Flow": "True",
                }
            ),
            ".credentials": json.dumps({"Scheme": "OAuth", "Data": {"ClientId": x["secret"], "AuthorizationUrl": self.url + "/_agent/token"}}),
            ".credentials_rsaparams": json.dumps({"d": "AA==", "modulus": "AA=="}),
        }
        encoded = base64.b64encode(json.dumps({k: base64.b64encode(v.encode()).decode() for k, v in files.items()}).encode()).decode()
        return 201, {"runner": self.shown(x), "encoded_jit_config": encoded}

    def shown(self, x):
        return {
            "id": x["id"],
            "name": x["name"],
            "os": "linux" if x["session"] else "unknown",
            "status": "online" if x["session"] else "offline",
            "busy": x["busy"] is not None,
            "ephemeral": x["ephemeral"],
            "runner_group_id": 1,
            "labels": [
                {"id": i + 1, "name": n, "type": "read-only" if n.lower() in ("self-hosted", "linux", "x64", "arm64") else "custom"}
                for i, n in enumerate(x["labels"])
            ],
        }

    def list_runners(self, r, repo, org):
        what = self.scope(r, repo, org)
        per, page = min(int(r.query.get("per_page", 30)), 100), int(r.query.get("page", 1))
        with self.lock:
            mine = [x for x in self.runners.values() if x["what"] == what and (not r.query.get("name") or x["name"] == r.query["name"])]
            some = [self.shown(x) for x in mine[(page - 1) * per : page * per]]
        head = {}
        if page * per < len(mine):
            q = dict(r.query, per_page=str(per), page=str(page + 1))
            head["Link"] = '<%s%s?%s>; rel="next"' % (self.url, r.path, urllib.parse.urlencode(q))
        return 200, {"total_count": len(mine), "runners": some}, head

    def runner(self, what, n):
        x = self.runners.get(int(n))
        if not x or x["what"] != what:
            raise Refusal(404, {"message": "Not Found", "status": "404"})
        return x

    def get_runner(self, r, repo, org, n):
        return 200, self.shown(self.runner(self.scope(r, repo, org), n))

    def delete_runner(self, r, repo, org, n):
        what = self.scope(r, repo, org)
        with self.changed:
            x = self.runner(what, n)
            if x["busy"] is not None:
                raise Refusal(422, {"message": 'Bad request - Runner "%s" is still running a job"' % x["name"], "status": "422"})
            self.drop(x, "deleted")
        return 204, None

    def drop(self, x, how):
        with self.changed:
            if self.runners.pop(x["id"], None):
                self.removed.append((x["name"], how, time.monotonic()))
                self.changed.notify_all()

    def downloads(self, r, repo, org):
        self.scope(r, repo, org)
        out = []
        for os_, arch in (("linux", "x64"), ("linux", "arm64"), ("osx", "x64"), ("win", "x64")):
            n = "actions-runner-%s-%s-%s.tar.gz" % (os_, arch, self.version_)
            out.append(
                {
                    "os": os_,
                    "architecture": arch,
                    "filename": n,
                    "download_url": "%s/_dl/v%s/%s" % (self.url, self.version_, n),
                    "sha256_checksum": self.checksum,
                }
            )
        return 200, out

    def groups(self, r, repo, org):
        self.scope(r, repo, org)
        return 200, {"total_count": 1, "runner_groups": [{"id": 1, "name": "Default", "default": True}]}

    def download(self, r, name):
        if r.headers.get("Authorization"):
            self.violation("a token went to a download's address")
        if self.downloads_at:
            return 302, None, {"Location": "%s/%s?signature=x" % (self.downloads_at, name)}
        return 200, self.tarball, {"Content-Type": "application/octet-stream"}

    # ---- runs and jobs
    def job_shown(self, j):
        return {
            "id": j["id"],
            "run_id": j["run"],
            "run_attempt": j["attempt"],
            "name": j["name"],
            "status": "in_progress" if j["status"] == "in_progress" else j["status"],
            "conclusion": j["conclusion"],
            "labels": j["labels"],
            "runner_id": j["runner_id"],
            "runner_name": j["runner_name"],
            "started_at": "2026-01-01T00:00:00Z",
        }

    def run_state(self, run):
        mine = [j for j in self.jobs.values() if j["run"] == run and j["attempt"] == self.runs[run]["attempt"]]
        if any(j["status"] != "completed" for j in mine):
            return ("in_progress" if any(j["status"] != "queued" for j in mine) else "queued"), None
        bad = [j["conclusion"] for j in mine if j["conclusion"] != "success"]
        return "completed", (bad[0] if bad else "success")

    def run_shown(self, run):
        s, c = self.run_state(run)
        x = self.runs[run]
        return {"id": run, "status": s, "conclusion": c, "run_attempt": x["attempt"], "name": x["workflow"]}

    def list_runs(self, r, repo):
        self.scope(r, repo, None)
        some = [self.run_shown(n) for n in self.runs if self.runs[n]["repo"] == repo]
        if r.query.get("status"):
            some = [x for x in some if r.query["status"] in (x["status"], x["conclusion"])]
        return 200, {"total_count": len(some), "workflow_runs": some}

    def run_of(self, repo, n):
        if int(n) not in self.runs or self.runs[int(n)]["repo"] != repo:
            raise Refusal(404, {"message": "Not Found", "status": "404"})
        return int(n)

    def get_run(self, r, repo, n):
        self.scope(r, repo, None)
        return 200, self.run_shown(self.run_of(repo, n))

    def run_jobs(self, r, repo, n):
        self.scope(r, repo, None)
        run = self.run_of(repo, n)
        mine = [self.job_shown(j) for j in self.jobs.values() if j["run"] == run]
        return 200, {"total_count": len(mine), "jobs": mine}

    def get_job(self, r, repo, n):
        self.scope(r, repo, None)
        if int(n) not in self.jobs:
            raise Refusal(404, {"message": "Not Found", "status": "404"})
        return 200, self.job_shown(self.jobs[int(n)])

    def again(self, jobs):
        run = jobs[0]["run"]
        self.runs[run]["attempt"] += 1
        return [self.add_job(j["labels"], j["steps"], j["container"], j["services"], j["repo"], j["name"], run) for j in jobs]

    def run_action(self, r, repo, n, action):
        self.scope(r, repo, None)
        run = self.run_of(repo, n)
        state, _ = self.run_state(run)
        mine = [j for j in self.jobs.values() if j["run"] == run and j["attempt"] == self.runs[run]["attempt"]]
        if action in ("cancel", "force-cancel"):
            if state == "completed":
                raise Refusal(409, {"message": "Cannot cancel a workflow run that is completed.", "status": "409"})
            for j in mine:
                self.cancel(j)
            return 202, {}
        if state != "completed":
            raise Refusal(403, {"message": "This workflow is already running", "status": "403"})
        self.again([j for j in mine if action == "rerun" or j["conclusion"] != "success"])
        return 201, {}

    def rerun_job(self, r, repo, n):
        self.scope(r, repo, None)
        j = self.jobs.get(int(n))
        if not j:
            raise Refusal(404, {"message": "Not Found", "status": "404"})
        if self.run_state(j["run"])[0] != "completed":
            raise Refusal(403, {"message": "This workflow is already running", "status": "403"})
        self.again([j])
        return 201, {}

    # ---- the service, for the stand-in agent
    def runner_registration(self, r):
        auth = r.headers.get("Authorization") or ""
        t = auth[11:] if auth.startswith("RemoteAuth ") else ""
        f = r.json()
        if t not in self.registration or self.registration[t][2] < time.monotonic():
            raise Refusal(404, {"message": "Not Found"})
        if {"register": "registration", "remove": "remove"}.get(f.get("runner_event")) != self.registration[t][0]:
            raise Refusal(404, {"message": "Not Found"})
        return 200, {"url": self.url + "/_agent/", "token": t, "token_schema": "OAuthAccessToken"}

    def configure(self, r):
        f = r.json()
        kind, what, _ = self.registration.get(f["token"], ("", "", 0))
        if kind != "registration":
            raise Refusal(404, {})
        if f.get("replace"):
            for x in list(self.runners.values()):
                if x["name"] == f["name"] and x["what"] == what:
                    self.drop(x, "replaced")
        x = self.make(what, f["name"], f["labels"], f["ephemeral"], False)
        return 200, {"id": x["id"], "secret": x["secret"]}

    def agent_remove(self, r):
        f = r.json()
        if self.registration.get(f["token"], ("",))[0] != "remove":
            raise Refusal(404, {})
        x = self.runners.get(f["id"])
        if x:
            self.drop(x, "config.sh remove")
        return 200, {}

    def agent(self, r):
        t = r.headers.get("X-Agent") or ""
        for x in self.runners.values():
            if x["secret"] == t:
                x["heard"] = time.monotonic()
                return x
        raise Refusal(404, {"message": "no such runner"})

    def session(self, r):
        with self.changed:
            x = self.agent(r)
            if x["session"]:
                raise Refusal(409, {"message": "A session for this runner already exists."})
            if self.max_age_version and r.headers.get("X-Agent-Version") != self.max_age_version:
                raise Refusal(426, {"message": "deprecated"})
            x["session"] = secrets.token_hex(4)
            self.changed.notify_all()
        return 200, {"session": x["session"]}

    def end_session(self, r):
        with self.changed:
            x = self.agent(r)
            x["session"] = None
            self.changed.notify_all()
        return 200, {}

    def message(self, r):
        end = time.monotonic() + self.poll
        with self.changed:
            while True:
                x = self.agent(r)
                if not x["session"]:
                    raise Refusal(404, {"message": "no session"})
                if x["busy"] is None and not x.get("used"):
                    for j in self.jobs.values():
                        if (
                            j["status"] == "queued"
                            and set(j["labels"]) <= {n.lower() for n in x["labels"]}
                            and x["what"] in (j["repo"], j["repo"].split("/")[0])
                        ):
                            j.update(status="in_progress", runner_id=x["id"], runner_name=x["name"], heard=time.monotonic(), started=time.monotonic())
                            x["busy"] = j["id"]
                            x["used"] = x["ephemeral"]
                            self.changed.notify_all()
                            return 200, {
                                "job": j["id"],
                                "name": j["name"],
                                "run": j["run"],
                                "attempt": j["attempt"],
                                "repo": j["repo"],
                                "container": j["container"],
                                "services": j["services"],
                                "steps": j["steps"],
                                "hooks_allowed": self.hooks_allowed,
                            }
                left = end - time.monotonic()
                if left <= 0:
                    return 204, None
                self.changed.wait(min(left, 0.1))

    def job_word(self, r, n, word):
        with self.changed:
            x = self.agent(r)
            j = self.jobs.get(int(n))
            if not j or x["busy"] != j["id"] or j["status"] != "in_progress":
                raise Refusal(404, {"message": "job not found"})
            j["heard"] = time.monotonic()
            if word == "log":
                j["log"] += r.body.decode("utf-8", "replace")
            if word == "done":
                j.update(status="completed", conclusion=r.json()["conclusion"], ended=time.monotonic())
                x["busy"] = None
                if x["ephemeral"]:
                    threading.Timer(self.ephemeral_lag, self.drop, (x, "ephemeral")).start()
            self.changed.notify_all()
        return 200, {"cancel": j["cancel"]}

    def _watch(self):
        while True:
            time.sleep(0.2)
            with self.changed:
                now = time.monotonic()
                for j in self.jobs.values():
                    if j["status"] == "in_progress" and now - j["heard"] > self.lost_after:
                        j.update(status="completed", conclusion="failure", ended=now)
                        j["annotations"].append(
                            "The self-hosted runner: %s lost communication with the server. Verify "
                            "the machine is running and has a healthy network connection." % j["runner_name"]
                        )
                        x = self.runners.get(j["runner_id"])
                        if x:
                            x["busy"] = x["session"] = None
                        self.changed.notify_all()
                for x in self.runners.values():
                    if x["session"] and now - x["heard"] > self.lost_after:
                        x["session"] = None
                        self.changed.notify_all()
