"""A GitLab that has just what a launcher and gitlab-runner use: runners, jobs, traces, artifacts, a repository.

Strict: a request that a real GitLab would refuse is refused, and what a good agent never does is a violation
(a gap in a trace, a checksum that is not the trace's, a job updated after its end, a token in the wrong place).
Facts: the REST API's pages and gitlab-runner 17.5's and 19.4's own client."""
import base64
import os
import re
import subprocess
import tempfile
import time
import urllib.parse
import zlib

from support.ci.web import Fake, Refusal


def token_of(r):
    """PRIVATE-TOKEN, or an OAuth-style bearer; what the REST API takes from a person or a project token."""
    if r.headers.get("PRIVATE-TOKEN"):
        return r.headers["PRIVATE-TOKEN"]
    auth = r.headers.get("Authorization") or ""
    return auth[7:] if auth.startswith("Bearer ") else ""


class FakeGitLab(Fake):
    def __init__(self, legacy_registration=False, long_poll=0.0, subpath="", host="127.0.0.1"):
        super().__init__(host)
        self.base = self.url + subpath
        self.long_poll = long_poll                      # seconds a job request waits before 204
        self.legacy_registration = legacy_registration
        self.tokens = {"glpat-good": {"api", "create_runner", "manage_runner"}}     # token → scopes
        self.projects = {}                              # id → {"id","path_with_namespace","runners_token"}
        self.groups = {}                                # id → {"id","full_path"}
        self.runners = {}                               # id → dict
        self.jobs = {}                                  # id → dict
        self.queue = []                                 # ids
        self.deleted_runners = []
        self.next = 100
        self.trace_interval = 1
        self.git_root = tempfile.mkdtemp(prefix="fakegitlab-")
        p = re.escape(subpath) + "/api/v4"
        me = FakeGitLab
        self.routes = [
            ("GET", p + "/version", me.version),
            ("GET", p + "/metadata", me.version),
            ("GET", p + r"/projects/([^/]+)", me.project),
            ("GET", p + r"/projects/([^/]+)/runners", me.project_runners),
            ("GET", p + r"/groups/([^/]+)", me.group),
            ("GET", p + r"/groups/([^/]+)/runners", me.group_runners),
            ("POST", p + "/user/runners", me.create_runner),
            ("GET", p + "/runners", me.list_runners),
            ("POST", p + "/runners", me.register_runner),
            ("DELETE", p + "/runners", me.delete_by_token),
            ("DELETE", p + "/runners/managers", me.delete_manager),
            ("POST", p + "/runners/verify", me.verify),
            ("POST", p + "/runners/reset_authentication_token", me.reset_token),
            ("GET", p + r"/runners/(\d+)", me.get_runner),
            ("PUT", p + r"/runners/(\d+)", me.put_runner),
            ("DELETE", p + r"/runners/(\d+)", me.delete_runner),
            ("GET", p + r"/runners/(\d+)/jobs", me.runner_jobs),
            ("GET", p + r"/runners/(\d+)/managers", me.runner_managers),
            ("GET", p + "/runners/router/discovery", me.discovery),
            ("POST", p + "/jobs/request", me.request_job),
            ("PATCH", p + r"/jobs/(\d+)/trace", me.patch_trace),
            ("PUT", p + r"/jobs/(\d+)", me.update_job),
            ("POST", p + r"/jobs/(\d+)/artifacts", me.upload_artifacts),
            ("GET", p + r"/jobs/(\d+)/artifacts", me.download_artifacts),
            ("GET", p + r"/projects/([^/]+)/jobs/(\d+)", me.get_job),
            ("POST", p + r"/projects/([^/]+)/jobs/(\d+)/(retry|cancel)", me.job_action),
            ("GET", p + r"/projects/([^/]+)/pipelines/(\d+)", me.get_pipeline),
            ("POST", p + r"/projects/([^/]+)/pipelines/(\d+)/(retry|cancel)", me.pipeline_action),
            ("GET", re.escape(subpath) + r"/(.+\.git/.*)", me.git),
            ("POST", re.escape(subpath) + r"/(.+\.git/.*)", me.git),
        ]

    # ---- what a test does
    def add_project(self, path, files=None, runners_token=None):
        """A project with one commit on main; returns it. `files`: {name: text}."""
        self.next += 1
        pr = {"id": self.next, "path_with_namespace": path, "runners_token": runners_token,
              "web_url": self.base + "/" + path}
        self.projects[pr["id"]] = pr
        bare = os.path.join(self.git_root, path + ".git")
        env = dict(os.environ, GIT_AUTHOR_NAME="t", GIT_AUTHOR_EMAIL="t@t", GIT_COMMITTER_NAME="t",
                   GIT_COMMITTER_EMAIL="t@t", GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1")

        def git(*a, cwd=None):
            return subprocess.run(("git",) + a, cwd=cwd, env=env, check=True, capture_output=True, text=True).stdout
        work = tempfile.mkdtemp(dir=self.git_root)
        git("init", "-q", "-b", "main", work)
        for name, text in (files or {"README": "hello\n"}).items():
            f = os.path.join(work, name)
            os.makedirs(os.path.dirname(f), exist_ok=True)
            open(f, "w").write(text)
        git("add", "-A", cwd=work)
        git("commit", "-q", "-m", "first", cwd=work)
        pr["sha"] = git("rev-parse", "HEAD", cwd=work).strip()
        git("clone", "-q", "--bare", work, bare)
        git("config", "http.receivepack", "true", cwd=bare)
        git("config", "uploadpack.allowAnySHA1InWant", "true", cwd=bare)
        return pr

    def add_group(self, path):
        """A group; what lies below its path belongs to it."""
        self.next += 1
        self.groups[self.next] = {"id": self.next, "full_path": path, "web_url": self.base + "/" + path}
        return self.groups[self.next]

    def add_job(self, project, script, after=None, image=None, services=(), tags=(), variables=(), artifacts=(),
                cache=(), timeout=3600, dependencies=(), allow_failure=False, name="job", strategy=None, **extra):
        with self.changed:
            self.next += 1
            jid = self.next
            token = "glcbt-%d" % jid
            var = [{"key": k, "value": v, "public": True, "file": False, "masked": False, "raw": False}
                   for k, v in (("CI", "true"), ("GITLAB_CI", "true"), ("CI_JOB_ID", str(jid)),
                                ("CI_JOB_NAME", name), ("CI_PROJECT_ID", str(project["id"])),
                                ("CI_PROJECT_PATH", project["path_with_namespace"]),
                                ("CI_PROJECT_NAME", project["path_with_namespace"].split("/")[-1]),
                                ("CI_PROJECT_URL", project["web_url"]), ("CI_SERVER_URL", self.base),
                                ("CI_API_V4_URL", self.base + "/api/v4"), ("CI_COMMIT_SHA", project["sha"]),
                                ("CI_COMMIT_REF_NAME", "main"), ("CI_PIPELINE_ID", str(jid * 10)))]
            var.append({"key": "CI_JOB_TOKEN", "value": token, "public": False, "file": False, "masked": True,
                        "raw": False})
            if strategy:
                var.append({"key": "GIT_STRATEGY", "value": strategy, "public": True})
            for v in variables:
                var.append(dict({"public": True, "file": False, "masked": False, "raw": False}, **v))
            steps = [{"name": "script", "script": list(script), "timeout": timeout, "when": "on_success",
                      "allow_failure": allow_failure}]
            if after:
                steps.append({"name": "after_script", "script": list(after), "timeout": timeout, "when": "always",
                              "allow_failure": True})
            deps = [{"id": d["id"], "name": d["name"], "token": d["token"],
                     "artifacts_file": {"filename": "artifacts.zip", "size": len(d["artifacts"][-1][1])}}
                    for d in dependencies]
            repo = "%s//gitlab-ci-token:%s@%s/%s.git" % (
                self.base.split("//")[0], token, self.base.split("//")[1], project["path_with_namespace"])
            response = {
                "id": jid, "token": token, "allow_git_fetch": True,
                "job_info": {"id": jid, "name": name, "stage": "test", "project_id": project["id"],
                             "project_name": project["path_with_namespace"].split("/")[-1],
                             "time_in_queue_seconds": 1.0, "project_jobs_running_on_instance_runners_count": "0"},
                "git_info": {"repo_url": repo, "repo_object_format": "sha1", "ref": "main", "sha": project["sha"],
                             "before_sha": "0" * 40, "ref_type": "branch", "depth": 20, "refspecs":
                             ["+refs/heads/main:refs/remotes/origin/main"]},
                "runner_info": {"timeout": timeout, "runner_session_url": None},
                "variables": var, "steps": steps, "hooks": [],
                "image": dict(image) if isinstance(image, dict) else ({"name": image} if image else None),
                "services": [s if isinstance(s, dict) else {"name": s} for s in services],
                "artifacts": list(artifacts) or None, "cache": list(cache), "credentials": [],
                "dependencies": deps,
                "features": {"trace_sections": True, "token_mask_prefixes": ["glpat-"],
                             "failure_reasons": ["unknown_failure", "script_failure", "runner_system_failure",
                                                 "job_execution_timeout", "image_pull_failure"]}}
            response.update(extra)
            self.jobs[jid] = {"id": jid, "token": token, "name": name, "status": "pending", "tags": set(tags),
                              "project": project, "response": response, "trace": b"", "runner": None,
                              "artifacts": [], "exit_code": None, "failure_reason": None, "updates": [],
                              "canceling": False, "pipeline": jid * 10, "attempt": 1}
            self.queue.append(jid)
            self.changed.notify_all()
            return self.jobs[jid]

    def cancel(self, job, force=False):
        """As a person presses the button: the agent learns it from its next answer."""
        with self.changed:
            if job["status"] == "pending":
                self.queue.remove(job["id"])
                job["status"] = "canceled"
            elif job["status"] == "running":
                job["status"] = "canceled" if force else "canceling"
            self.changed.notify_all()

    def finished(self, job):
        return job["status"] in ("success", "failed", "canceled")

    def log(self, job):
        return job["trace"].decode("utf-8", "replace")

    # ---- who may
    def person(self, r, *scopes):
        t = token_of(r)
        if t not in self.tokens:
            raise Refusal(401, {"message": "401 Unauthorized"})
        if scopes and not (set(scopes) & self.tokens[t]):
            raise Refusal(403, {"error": "insufficient_scope", "scope": " ".join(scopes),
                                "error_description": "The request requires higher privileges than provided by the "
                                                     "access token."})
        return t

    def by_token(self, token):
        for x in self.runners.values():
            if x["token"] == token:
                return x
        return None

    # ---- REST, for people
    def version(self, r):
        self.person(r)
        return 200, {"version": "17.5.0-ee", "revision": "0"}

    def project_of(self, key):
        key = urllib.parse.unquote(key)
        for x in self.projects.values():
            if key in (str(x["id"]), x["path_with_namespace"]):
                return x
        raise Refusal(404, {"message": "404 Project Not Found"})

    def project(self, r, key):
        self.person(r)
        x = self.project_of(key)
        return 200, {k: x[k] for k in ("id", "path_with_namespace", "web_url", "runners_token")}

    def group_of(self, key):
        key = urllib.parse.unquote(key)
        for x in self.groups.values():
            if key in (str(x["id"]), x["full_path"]):
                return x
        raise Refusal(404, {"message": "404 Group Not Found"})

    def group(self, r, key):
        self.person(r)
        return 200, self.group_of(key)

    def serves(self, x, project):
        """Whether a runner takes this project's jobs."""
        if x["group"]:
            return project["path_with_namespace"].startswith(x["group"]["full_path"] + "/")
        return not x["project"] or x["project"]["id"] == project["id"]

    def make(self, f, project, kind, group=None):
        self.next += 1
        tags = f.get("tag_list") or []
        if isinstance(tags, str):
            tags = [t.strip() for t in tags.split(",") if t.strip()]

        def yes(name, default):
            v = f.get(name, default)
            return v in (True, "true", "1", 1)
        x = {"id": self.next, "description": f.get("description") or "", "tag_list": tags,
             "run_untagged": yes("run_untagged", False), "locked": yes("locked", False),
             "paused": yes("paused", False), "access_level": f.get("access_level") or "not_protected",
             "maximum_timeout": f.get("maximum_timeout"), "runner_type": kind, "project": project, "group": group,
             "token": ("glrt-t3_%s" if kind == "project_type" else "glrt-t2_%s") % base64.b32encode(
                 os.urandom(10)).decode().lower(), "contacted_at": None, "managers": set(), "systems": set()}
        if not tags and not x["run_untagged"]:
            raise Refusal(400, {"message": {"tags_list": ["can not be empty when runner is not allowed to pick "
                                                          "untagged jobs"]}})
        if x["access_level"] not in ("not_protected", "ref_protected"):
            raise Refusal(400, {"error": "access_level does not have a valid value"})
        self.runners[x["id"]] = x
        return x

    def create_runner(self, r):
        self.person(r, "create_runner", "api")
        f = r.form_or_json()
        kind = f.get("runner_type")
        if kind not in ("instance_type", "group_type", "project_type"):
            raise Refusal(400, {"error": "runner_type does not have a valid value"})
        project = None
        if kind == "project_type":
            if not f.get("project_id"):
                raise Refusal(400, {"error": "project_id is missing"})
            project = self.project_of(str(f["project_id"]))
        group = None
        if kind == "group_type":
            if not f.get("group_id"):
                raise Refusal(400, {"error": "group_id is missing"})
            group = self.group_of(str(f["group_id"]))
        x = self.make(f, project, kind, group)
        return 201, {"id": x["id"], "token": x["token"], "token_expires_at": None}

    def register_runner(self, r):
        f = r.form_or_json()
        project = next((p for p in self.projects.values() if p["runners_token"] and
                        p["runners_token"] == f.get("token")), None)
        if not self.legacy_registration:
            raise Refusal(410, {"message": "410 Gone - Runner registration disallowed"})
        if not project:
            raise Refusal(403, {"message": "403 Forbidden - invalid token supplied"})
        x = self.make(f, project, "project_type")
        x["token"] = "legacy" + x["token"][8:24]
        return 201, {"id": x["id"], "token": x["token"], "token_expires_at": None}

    def state_of(self, x):
        if not x["contacted_at"]:
            return "never_contacted"
        return "online" if time.monotonic() - x["contacted_at"] < 7200 and not x.get("offline") else "offline"

    def shown(self, x, full=False):
        out = {"id": x["id"], "description": x["description"], "ip_address": "127.0.0.1", "active": not x["paused"],
               "paused": x["paused"], "is_shared": x["runner_type"] == "instance_type",
               "runner_type": x["runner_type"], "name": None, "online": self.state_of(x) == "online",
               "status": self.state_of(x)}
        if full:
            out.update(tag_list=x["tag_list"], run_untagged=x["run_untagged"], locked=x["locked"],
                       maximum_timeout=x["maximum_timeout"], access_level=x["access_level"], token=None,
                       projects=[{"id": x["project"]["id"]}] if x["project"] else [],
                       groups=[{"id": x["group"]["id"]}] if x["group"] else [])
        return out

    def paged(self, r, items):
        per, page = int(r.query.get("per_page", 20)), int(r.query.get("page", 1))
        if per > 100:
            per = 100
        head = {"X-Total": str(len(items)), "X-Page": str(page), "X-Per-Page": str(per),
                "X-Next-Page": str(page + 1) if page * per < len(items) else ""}
        return 200, items[(page - 1) * per:page * per], head

    def filtered(self, r, items):
        if r.query.get("tag_list"):
            want = set(r.query["tag_list"].split(","))
            items = [x for x in items if want <= set(x["tag_list"])]
        if r.query.get("status"):
            items = [x for x in items if self.state_of(x) == r.query["status"]]
        if r.query.get("paused"):
            items = [x for x in items if x["paused"] == (r.query["paused"] == "true")]
        return items

    def list_runners(self, r):
        self.person(r, "api", "manage_runner", "read_api")
        with self.lock:
            return self.paged(r, [self.shown(x) for x in self.filtered(r, list(self.runners.values()))])

    def project_runners(self, r, key):
        self.person(r, "api", "manage_runner", "read_api")
        p = self.project_of(key)
        with self.lock:
            mine = [x for x in self.runners.values() if self.serves(x, p)]
            return self.paged(r, [self.shown(x) for x in self.filtered(r, mine)])

    def group_runners(self, r, key):
        self.person(r, "api", "manage_runner", "read_api")
        g = self.group_of(key)
        with self.lock:
            mine = [x for x in self.runners.values() if x["group"] and x["group"]["id"] == g["id"]]
            return self.paged(r, [self.shown(x) for x in self.filtered(r, mine)])

    def runner(self, n):
        x = self.runners.get(int(n))
        if not x:
            raise Refusal(404, {"message": "404 Runner Not Found"})
        return x

    def get_runner(self, r, n):
        self.person(r, "api", "manage_runner", "read_api")
        return 200, self.shown(self.runner(n), full=True)

    def put_runner(self, r, n):
        self.person(r, "api", "manage_runner")
        x = self.runner(n)
        f = r.form_or_json()
        if "paused" in f:
            x["paused"] = f["paused"] in (True, "true", "1")
        if "description" in f:
            x["description"] = f["description"]
        return 200, self.shown(x, full=True)

    def delete_runner(self, r, n):
        self.person(r, "api", "manage_runner")
        with self.changed:
            x = self.runner(n)
            busy = [j for j in self.jobs.values() if j["runner"] == x["id"] and j["status"] == "running"]
            for j in busy:
                self.violation("runner %d deleted while job %d ran" % (x["id"], j["id"]))
            del self.runners[x["id"]]
            self.deleted_runners.append(x)
            self.changed.notify_all()
        return 204, None

    def runner_jobs(self, r, n):
        self.person(r, "api", "manage_runner", "read_api")
        x = self.runner(n)
        out = [{"id": j["id"], "status": j["status"], "name": j["name"], "pipeline": {"id": j["pipeline"]}}
               for j in self.jobs.values() if j["runner"] == x["id"] and
               (not r.query.get("status") or j["status"] == r.query["status"])]
        return self.paged(r, sorted(out, key=lambda j: -j["id"]))

    def runner_managers(self, r, n):
        self.person(r, "api", "manage_runner", "read_api")
        return 200, [{"id": i + 1, "system_id": s, "status": "online"} for i, s in enumerate(self.runner(n)["systems"])]

    def get_job(self, r, key, n):
        self.person(r)
        j = self.jobs.get(int(n))
        if not j:
            raise Refusal(404, {"message": "404 Not found"})
        return 200, {"id": j["id"], "status": j["status"], "pipeline": {"id": j["pipeline"]},
                     "runner": {"id": j["runner"]} if j["runner"] else None}

    def again(self, j):
        """A new job in the old one's place, as GitLab does it; the old one's end stays as it is."""
        new = self.add_job(j["project"], ["true"], name=j["name"], tags=j["tags"])
        new["response"]["steps"] = j["response"]["steps"]
        new["response"]["image"] = j["response"]["image"]
        new["pipeline"], new["attempt"], new["retry_of"] = j["pipeline"], j["attempt"] + 1, j["id"]
        return new

    def job_action(self, r, key, n, action):
        self.person(r, "api")
        j = self.jobs.get(int(n))
        if not j:
            raise Refusal(404, {"message": "404 Not found"})
        if action == "cancel":
            self.cancel(j)
            return 201, {"id": j["id"], "status": j["status"]}
        if not self.finished(j):
            raise Refusal(403, {"message": "403 Forbidden - Job is not retryable"})
        return 201, {"id": self.again(j)["id"], "status": "pending"}

    def get_pipeline(self, r, key, n):
        self.person(r)
        mine = [j for j in self.jobs.values() if j["pipeline"] == int(n)]
        if not mine:
            raise Refusal(404, {"message": "404 Not found"})
        states = {j["status"] for j in mine}
        return 200, {"id": int(n), "status": "running" if states & {"running", "pending", "canceling"} else
                     ("failed" if "failed" in states else "success")}

    def pipeline_action(self, r, key, n, action):
        self.person(r, "api")
        mine = [j for j in list(self.jobs.values()) if j["pipeline"] == int(n)]
        if not mine:
            raise Refusal(404, {"message": "404 Not found"})
        for j in mine:
            if action == "cancel" and not self.finished(j):
                self.cancel(j)
            if action == "retry" and j["status"] in ("failed", "canceled"):
                self.again(j)
        return 201, {"id": int(n), "status": "running"}

    # ---- for agents
    def discovery(self, r):
        return 404, {"error": "404 Not Found"}          # no job router: the agent falls back to polling

    def agent(self, token):
        x = self.by_token(token)
        if not x:
            raise Refusal(403, {"message": "403 Forbidden"})
        return x

    def verify(self, r):
        x = self.agent(r.json().get("token"))
        return 200, {"id": x["id"], "token": x["token"], "token_expires_at": None}

    def delete_by_token(self, r):
        with self.changed:
            x = self.agent(r.json().get("token"))
            for j in self.jobs.values():
                if j["runner"] == x["id"] and j["status"] == "running":
                    self.violation("runner %d deleted while job %d ran" % (x["id"], j["id"]))
            del self.runners[x["id"]]
            self.deleted_runners.append(x)
        return 204, None

    def delete_manager(self, r):
        f = r.json()
        x = self.agent(f.get("token"))
        x["systems"].discard(f.get("system_id"))
        return 204, None

    def reset_token(self, r):
        x = self.agent(r.json().get("token"))
        x["token"] = "glrt-t3_" + base64.b32encode(os.urandom(10)).decode().lower()
        return 201, {"token": x["token"], "token_expires_at": None}

    def request_job(self, r):
        f = r.json()
        x = self.agent(f.get("token"))
        info = f.get("info") or {}
        for k in ("name", "version", "platform", "architecture", "executor", "features"):
            if k not in info:
                self.violation("jobs/request without info.%s" % k)
        if not re.fullmatch(r"[sr]_[0-9a-zA-Z]{12}", f.get("system_id") or ""):
            self.violation("jobs/request with system_id %r" % f.get("system_id"))
        x["systems"].add(f.get("system_id"))
        x["info"] = info
        x["contacted_at"] = time.monotonic()
        end = time.monotonic() + self.long_poll
        with self.changed:
            while True:
                if x["id"] not in self.runners:
                    raise Refusal(403, {"message": "403 Forbidden"})
                for jid in list(self.queue):
                    j = self.jobs[jid]
                    if x["paused"] or not self.serves(x, j["project"]):
                        continue
                    if not j["tags"] <= set(x["tag_list"]) or (not j["tags"] and not x["run_untagged"]):
                        continue
                    self.queue.remove(jid)
                    j.update(status="running", runner=x["id"], started=time.monotonic())
                    self.changed.notify_all()
                    return 201, j["response"]
                left = end - time.monotonic()
                if left <= 0:
                    return 204, None, {"X-GitLab-Last-Update": "0"}
                self.changed.wait(min(left, 0.2))

    def job_of(self, n, token):
        j = self.jobs.get(int(n))
        if not j or j["token"] != token:
            raise Refusal(403, {"message": "403 Forbidden"})
        return j

    def heads(self, j):
        return {"Job-Status": j["status"], "X-GitLab-Trace-Update-Interval": str(self.trace_interval)}

    def patch_trace(self, r, n):
        j = self.job_of(n, r.headers.get("JOB-TOKEN"))
        m = re.fullmatch(r"(\d+)-(\d+)", r.headers.get("Content-Range") or "")
        if not m:
            return 400, {"message": "400 Bad request - Missing header Content-Range"}
        if j["status"] in ("success", "failed", "canceled"):
            return 403, {"message": "403 Forbidden - Job is not running"}, self.heads(j)
        first, last = int(m[1]), int(m[2])
        with self.changed:
            if last - first + 1 != len(r.body):
                self.violation("Content-Range %s with %d bytes" % (m[0], len(r.body)))
            if first != len(j["trace"]):
                return 416, None, dict(self.heads(j), Range="0-%d" % len(j["trace"]))
            j["trace"] += r.body
            self.changed.notify_all()
        return 202, "0-%d" % len(j["trace"]), dict(self.heads(j), Range="0-%d" % len(j["trace"]))

    def update_job(self, r, n):
        f = r.json()
        j = self.job_of(n, f.get("token"))
        with self.changed:
            if j["status"] in ("success", "failed", "canceled"):
                return 403, {"message": "403 Forbidden - Job is not running"}, self.heads(j)
            state = f.get("state")
            j["updates"].append(state)
            if state == "running":
                return 200, "true", self.heads(j)
            if state not in ("success", "failed"):
                return 400, {"error": "state does not have a valid value"}
            out = f.get("output") or {}
            want = "crc32:%08x" % (zlib.crc32(j["trace"]) & 0xffffffff)
            if out.get("checksum") not in (None, want) or out.get("bytesize") not in (None, len(j["trace"])):
                if out.get("bytesize", 0) > len(j["trace"]):
                    return 412, None, self.heads(j)     # the agent sends the rest, and again
                self.violation("job %s: output %r, trace %s of %d bytes" % (n, out, want, len(j["trace"])))
            if state == "failed" and f.get("failure_reason") not in j["response"]["features"]["failure_reasons"]:
                self.violation("failure_reason %r" % f.get("failure_reason"))
            j["status"] = "canceled" if j["status"] == "canceling" else state
            j["failure_reason"], j["exit_code"] = f.get("failure_reason"), f.get("exit_code")
            j["ended"] = time.monotonic()
            self.changed.notify_all()
        return 200, "true", self.heads(j)

    def upload_artifacts(self, r, n):
        j = self.job_of(n, r.headers.get("JOB-TOKEN"))
        m = re.search(rb'filename="([^"]*)"\r\n.*?\r\n\r\n', r.body, re.S)
        boundary = (r.headers.get("Content-Type") or "").partition("boundary=")[2].encode()
        if not m or not boundary:
            return 400, {"error": "file is missing"}
        data = r.body[m.end():r.body.rindex(b"\r\n--" + boundary)]
        j["artifacts"].append((m[1].decode(), data, dict(r.query)))
        return 201, {"message": "ok"}

    def download_artifacts(self, r, n):
        j = self.job_of(n, r.headers.get("JOB-TOKEN"))
        if not j["artifacts"]:
            return 404, {"message": "404 Not Found"}
        return 200, j["artifacts"][-1][1], {"Content-Type": "application/octet-stream"}

    # ---- the repository, over smart HTTP by git's own CGI
    def git(self, r, path):
        auth = r.headers.get("Authorization") or ""
        good = False
        if auth.startswith("Basic "):
            user, _, word = base64.b64decode(auth[6:]).decode().partition(":")
            good = user == "gitlab-ci-token" and any(j["token"] == word and j["status"] in ("running", "canceling")
                                                     for j in self.jobs.values())
        if not good:
            return 401, "HTTP Basic: Access denied", {"WWW-Authenticate": 'Basic realm="GitLab"'}
        env = dict(PATH=os.environ["PATH"], GIT_PROJECT_ROOT=self.git_root, GIT_HTTP_EXPORT_ALL="1",
                   PATH_INFO="/" + path, REQUEST_METHOD=r.method, QUERY_STRING=urllib.parse.urlencode(r.query),
                   CONTENT_TYPE=r.headers.get("Content-Type") or "", CONTENT_LENGTH=str(len(r.body)),
                   GIT_CONFIG_NOSYSTEM="1", HOME="/nonexistent", GIT_CONFIG_COUNT="1",
                   GIT_CONFIG_KEY_0="safe.directory", GIT_CONFIG_VALUE_0="*")
        if r.headers.get("Git-Protocol"):
            env["GIT_PROTOCOL"] = r.headers["Git-Protocol"]
        if r.headers.get("Content-Encoding"):
            env["HTTP_CONTENT_ENCODING"] = r.headers["Content-Encoding"]
        out = subprocess.run(["git", "http-backend"], env=env, input=r.body, capture_output=True).stdout
        head, _, body = out.partition(b"\r\n\r\n")
        headers, status = {}, 200
        for line in head.decode().splitlines():
            k, _, v = line.partition(": ")
            if k.lower() == "status":
                status = int(v.split()[0])
            else:
                headers[k] = v
        return status, body, headers
