"""Holds the Helm chart against Kubernetes and against the hub: what helm makes of several values is what the API server takes, runs
without rights, keeps secrets where they belong, asks for what the hub answers, and the hub itself takes the configuration.

    chart.py HELM KUBECONFORM SCHEMAS HUB
        SCHEMAS   a folder with one folder for each version of Kubernetes (chart_schemas.py)
        HUB       the program

Each rule is shown to fail as well: by manifests that are injured here, and by values that must be refused. What is wrong is
printed, one line each; exit status 1 then. Needs Python 3.9, PyYAML, openssl.
"""

import copy
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm"
VALUES = {
    "embedded": ROOT / "tests/deploy/values/embedded.yaml",
    "kafka": ROOT / "deploy/examples/kafka/values.yaml",
    "addresses": ROOT / "tests/deploy/values/addresses.yaml",
    "everything": ROOT / "tests/deploy/values/everything.yaml",
}
SECRETS = "/etc/insight-hub/secrets"
DATA = "/var/lib/insight-hub"
PERSON_KEY = "07" * 32


def text(path):
    return (ROOT / path).read_text(encoding="utf-8")


def run(*command, stdin="", **more):
    done = subprocess.run([str(part) for part in command], input=stdin, capture_output=True, text=True, **more)
    return done.returncode, done.stdout + done.stderr


def rendered(helm, values, *more):
    """The manifests of some values, as text."""
    command = [helm, "template", "hub", CHART, "--namespace", "insight", "--values", values, *more]
    # Of a file of the chart that is a link it says so beside the manifests.
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"helm template of {values.name} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def objects(manifests):
    return [found for found in yaml.safe_load_all(manifests) if found]


def one(found, kind, ending=""):
    return next(it for it in found if it["kind"] == kind and it["metadata"]["name"].endswith(ending))


def pod_of(found):
    return one(found, "StatefulSet")["spec"]["template"]


def settings_of(found):
    """{section.key: value} of the configuration, as text."""
    settings, section = {}, ""
    for line in one(found, "ConfigMap", "-settings")["data"]["insight-hub.toml"].splitlines():
        if heading := re.fullmatch(r"\[([\w.]+)\]", line):
            section = heading[1]
        elif entry := re.fullmatch(r"([\w.]+) = (.*)", line):
            settings[f"{section}.{entry[1]}"] = json.loads(entry[2])
    return settings


# --- what must hold ----------------------------------------------------------------------------------------------------------


def pod_complaints(found):
    """What Kubernetes calls restricted, and a little more."""
    spec = pod_of(found)["spec"]
    container = spec["containers"][0]
    context, own = spec["securityContext"], container["securityContext"]
    user = re.search(r"^USER (\d+):(\d+)$", text("deploy/Dockerfile"), re.MULTILINE)
    service_account = one(found, "ServiceAccount")
    wanted = [
        ("one container and nothing beside it", len(spec["containers"]) == 1 and "initContainers" not in spec),
        ("runs as root", context.get("runAsNonRoot") is True),
        ("its user is not the image's", [str(context.get("runAsUser")), str(context.get("runAsGroup"))] == list(user.groups())),
        ("may become more", own.get("allowPrivilegeEscalation") is False and not own.get("privileged")),
        ("its root is not read-only", own.get("readOnlyRootFilesystem") is True),
        ("keeps capabilities", own.get("capabilities") == {"drop": ["ALL"]}),
        ("may call everything of the kernel", context.get("seccompProfile") == {"type": "RuntimeDefault"}),
        ("shares the node's", not any(spec.get(it) for it in ("hostNetwork", "hostPID", "hostIPC"))),
        ("has a token", spec.get("automountServiceAccountToken") is False and service_account.get("automountServiceAccountToken") is False),
        ("its account is another", spec.get("serviceAccountName") == service_account["metadata"]["name"]),
        ("has no bound on memory", "memory" in container["resources"].get("limits", {})),
        ("asks for nothing", {"cpu", "memory"} <= set(container["resources"].get("requests", {}))),
        ("variables of other services come in", spec.get("enableServiceLinks") is False),
    ]
    return [f"the pod {what}" for what, holds in wanted if not holds]


def volume_complaints(found):
    spec = pod_of(found)["spec"]
    container = spec["containers"][0]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    claims = {claim["metadata"]["name"] for claim in one(found, "StatefulSet")["spec"]["volumeClaimTemplates"]}
    maps = {it["metadata"]["name"] for it in found if it["kind"] == "ConfigMap"}
    complaints = []
    for mount in container["volumeMounts"]:
        if mount["name"] not in set(volumes) | claims:
            complaints.append(f"there is no volume {mount['name']}")
        if not mount.get("readOnly") and mount["name"] not in claims:
            complaints.append(f"it may write to {mount['mountPath']}")
    for name, volume in volumes.items():
        if not {"configMap", "projected"} & set(volume):
            complaints.append(f"the volume {name} is neither a ConfigMap nor secrets")
        if "configMap" in volume and volume["configMap"]["name"] not in maps:
            complaints.append(f"there is no ConfigMap {volume['configMap']['name']}")
    if not any(mount["mountPath"] == DATA and mount["name"] in claims for mount in container["volumeMounts"]):
        complaints.append(f"nothing that stays is mounted at {DATA}")
    return complaints


def secret_complaints(found):
    """Files with secrets are mounted, from Secrets, for the hub's group, and stand nowhere else."""
    spec = pod_of(found)["spec"]
    container = spec["containers"][0]
    volume = next((it["projected"] for it in spec["volumes"] if it["name"] == "secrets"), {"sources": [], "defaultMode": 0o440})
    there = {item["path"] for source in volume["sources"] for item in source["secret"]["items"]}
    named = {key: value for key, value in settings_of(found).items() if key.endswith("_file")}
    complaints = [f"{key} is not {SECRETS}/{key}" for key, value in named.items() if value != f"{SECRETS}/{key}"]
    complaints += [f"{key} is mounted nowhere" for key in sorted(set(named) - there)]
    complaints += [f"{path} is mounted, and no setting names it" for path in sorted(there - set(named))]
    if volume["defaultMode"] != 0o440:
        complaints.append("others than the hub may read secrets")
    for variable in container["env"]:
        if "value" not in variable and "fieldRef" not in variable.get("valueFrom", {}):
            complaints.append(f"{variable['name']} is a secret in the environment")
        if re.search(r"PASSWORD|KEY|TOKEN|SECRET", variable["name"]):
            complaints.append(f"{variable['name']} is a secret in the environment")
    if "envFrom" in container:
        complaints.append("the environment comes from elsewhere")
    if any(it["kind"] == "Secret" for it in found):
        complaints.append("a Secret is made of values, which lie about in files")
    return complaints


def probe_complaints(found):
    container = pod_of(found)["spec"]["containers"][0]
    answered = set(re.findall(r'\.route\("(/health/\w+)"', text("src/serve/operators.rs")))
    complaints = []
    for probe, path in (("startupProbe", "live"), ("livenessProbe", "live"), ("readinessProbe", "ready")):
        asked = container.get(probe, {}).get("httpGet", {})
        if asked.get("path") != f"/health/{path}" or asked.get("path") not in answered:
            complaints.append(f"{probe} does not ask for /health/{path}, or the hub does not answer there")
        if asked.get("port") != "metrics":
            complaints.append(f"{probe} asks at another port")
    return complaints


def port_complaints(found):
    """Ports of the container are those that the hub listens on; whoever sends to one finds it."""
    settings = settings_of(found)
    container = pod_of(found)["spec"]["containers"][0]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    complaints = []
    for name, key in (("metrics", "http.listen"), ("api", "serve.listen")):
        listens = settings.get(key, "").rpartition(":")[2]
        if str(ports.get(name, "")) != listens:
            complaints.append(f"the port {name} is not that of {key}")
    services = [it for it in found if it["kind"] == "Service"]
    for service in services:
        complaints += [
            f"{service['metadata']['name']} leads to no port {port['targetPort']}"
            for port in service["spec"]["ports"]
            if port["targetPort"] not in ports
        ]
    reached = {port["targetPort"] for service in services for port in service["spec"]["ports"]}
    open_api = settings.get("serve.listen", "127.0.0.1:").startswith("127.0.0.1:")
    if ("api" in reached) == open_api:
        complaints.append("there is a Service of the API, and nobody but the pod reaches it; or the other way round")
    for service in (it for it in services if any(port["targetPort"] == "api" for port in it["spec"]["ports"])):
        if service["spec"].get("sessionAffinity") != "ClientIP":
            complaints.append("a login of the dashboard is unknown to the instance that is asked next")
    if "api" in reached and "serve.tokens_file" not in settings:
        complaints.append("others reach the API, and there is no token")
    for policy in (it for it in found if it["kind"] == "NetworkPolicy"):
        let_in = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        complaints += [f"nobody is let in to {name}" for name in sorted(reached - let_in)]
        complaints += ["anybody is let in" for rule in policy["spec"]["ingress"] if not rule.get("from")]
        if policy["spec"]["policyTypes"] != ["Ingress", "Egress"]:
            complaints.append("the network policy leaves a direction open")
        let_out = {str(port["port"]) for rule in policy["spec"]["egress"] for port in rule["ports"]}
        places = [settings.get(key, "") for key in ("kafka.brokers", "registry.url", "oidc.jwks_url")]
        asked = re.findall(r":(\d+)(?=,|$|/)", ",".join(places).replace(" ", ""))
        asked += ["443" for place in places if re.match(r"https://[^/:]+(/|$)", place)]
        complaints += [f"port {port} is not let out" for port in asked + ["53"] if port not in let_out]
    for monitor in (it for it in found if it["kind"] == "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        watched = [it for it in services if wanted.items() <= it["metadata"]["labels"].items()]
        if [it["metadata"]["name"] for it in watched] != [one(found, "StatefulSet")["spec"]["serviceName"]]:
            complaints.append("the monitor watches other services than that of the instances")
        for endpoint in monitor["spec"]["endpoints"]:
            if not any(port["name"] == endpoint["port"] for it in watched for port in it["spec"]["ports"]):
                complaints.append(f"the monitor's port {endpoint['port']} is no port of its service")
            if f'.route("{endpoint["path"]}"' not in text("src/serve/operators.rs"):
                complaints.append("the hub has no figures where the monitor asks")
        # The alerts ask for this job.
        label = monitor["spec"].get("jobLabel")
        if any(it["metadata"]["labels"].get(label) != "insight-hub" for it in watched):
            complaints.append("the monitor's job is not insight-hub")
    return complaints


def rule_complaints(found):
    """The alerts are those of the file, for the job that the monitor makes."""
    complaints = []
    for rules in (it for it in found if it["kind"] == "PrometheusRule"):
        job = rules["metadata"]["labels"]["app.kubernetes.io/name"]
        wanted = yaml.safe_load(text("deploy/prometheus/alerts.yml").replace('job="insight-hub"', f'job="{job}"'))
        alerts = lambda groups: [rule for group in groups for rule in group["rules"]]
        for rule in alerts(wanted["groups"]):
            said = next((it for it in alerts(rules["spec"]["groups"]) if it["alert"] == rule["alert"]), {"annotations": {}})
            place = said["annotations"].pop("runbook_url", "")
            if place.rpartition("#")[2] != rule["annotations"].pop("runbook_url").rpartition("#")[2]:
                complaints.append(f"the alert {rule['alert']} leads to no runbook")
            if said != rule:
                complaints.append(f"the alert {rule['alert']} is not that of deploy/prometheus/alerts.yml")
        if len(alerts(wanted["groups"])) != len(alerts(rules["spec"]["groups"])):
            complaints.append("there are alerts that deploy/prometheus/alerts.yml has not")
    return complaints


def instance_complaints(found):
    stateful = one(found, "StatefulSet")
    spec, pod = stateful["spec"], pod_of(found)["spec"]
    settings = settings_of(found)
    variables = {variable["name"]: variable for variable in pod["containers"][0]["env"]}
    labels = pod_of(found)["metadata"]["labels"]
    complaints = []
    field = variables.get("INSIGHT_HUB__HUB__INSTANCE_ID", {}).get("valueFrom", {}).get("fieldRef", {}).get("fieldPath")
    if field != "metadata.name":
        complaints.append("an instance's name is not its pod's: a restart moves its partitions")
    if not settings["hub.data_directory"].startswith(f"{DATA}/"):
        complaints.append("the hub writes elsewhere than to its volume")
    if variables.get("INSIGHT_HUB__HUB__DATA_DIRECTORY", {}).get("value") != settings["hub.data_directory"]:
        complaints.append("the environment names another data directory than the configuration")
    if "kafka.brokers" not in settings and spec["replicas"] != 1:
        complaints.append("several instances have a log of their own each")
    if "kafka.brokers" in settings and "hub.person_key_file" not in settings:
        complaints.append("instances have no key of person ids in common")
    deadline = settings.get("hub.stop_deadline_seconds") or int(
        re.search(r"^stop_deadline_seconds = (\d+)$", text("deploy/insight-hub.toml"), re.MULTILINE)[1]
    )
    if pod["terminationGracePeriodSeconds"] <= deadline:
        complaints.append("it is killed before hub.stop_deadline_seconds is over")
    selectors = [spec["selector"]["matchLabels"]]
    selectors += [it["spec"]["selector"] for it in found if it["kind"] == "Service"]
    selectors += [it["spec"]["selector"]["matchLabels"] for it in found if it["kind"] == "PodDisruptionBudget"]
    selectors += [it["spec"]["podSelector"]["matchLabels"] for it in found if it["kind"] == "NetworkPolicy"]
    selectors += [it["labelSelector"]["matchLabels"] for it in pod.get("topologySpreadConstraints", [])]
    if any(not selector.items() <= labels.items() for selector in selectors):
        complaints.append("something selects other pods than the hub's")
    if not any(it["kind"] == "Service" and it["metadata"]["name"] == spec["serviceName"] for it in found):
        complaints.append("the stateful set's service is not there")
    if len(pod_of(found)["metadata"]["annotations"].get("insight-hub/settings", "")) != 64:
        complaints.append("other settings restart nothing")
    return complaints


def rebuild_complaints(found, what):
    """While something is rebuilt no instance runs, and one pod has the first one's volume and rights as they have."""
    stateful, job = one(found, "StatefulSet"), one(found, "Job")
    pod = copy.deepcopy(job["spec"]["template"])
    complaints = []
    if stateful["spec"]["replicas"] != 0:
        complaints.append("instances run while it is rebuilt")
    if pod["spec"]["containers"][0]["args"] != ["rebuild", "--from-sources"][: 2 if what == "sources" else 1]:
        complaints.append("the job does something else")
    claims = [it for it in pod["spec"]["volumes"] if "persistentVolumeClaim" in it]
    if [it["persistentVolumeClaim"]["claimName"] for it in claims] != [f"data-{stateful['metadata']['name']}-0"]:
        complaints.append("the job has not the first instance's volume")
    selectors = [stateful["spec"]["selector"]["matchLabels"]]
    selectors += [it["spec"]["selector"] for it in found if it["kind"] == "Service"]
    if any(selector.items() <= pod["metadata"]["labels"].items() for selector in selectors):
        complaints.append("the job is taken for an instance")
    # Everything else as of an instance.
    pod["spec"]["volumes"] = [it for it in pod["spec"]["volumes"] if it not in claims]
    as_instance = copy.deepcopy(found)
    one(as_instance, "StatefulSet")["spec"]["template"]["spec"] = pod["spec"]
    return complaints + pod_complaints(as_instance) + volume_complaints(as_instance) + secret_complaints(as_instance)


RULES = [
    pod_complaints, volume_complaints, secret_complaints, probe_complaints, port_complaints, rule_complaints, instance_complaints,
]


def complaints_of(found):
    return [complaint for rule in RULES for complaint in rule(found)]


# --- what must be refused ------------------------------------------------------------------------------------------------------

CONTAINER = ("StatefulSet", "spec.template.spec.containers.0.")
POD = ("StatefulSet", "spec.template.spec.")
# (kind and place, what is put there; None: nothing is left, what is said of it), of the manifests of `everything`.
INJURIES = [
    (POD, "securityContext.runAsNonRoot", False, "runs as root"),
    (POD, "securityContext.runAsUser", 0, "not the image's"),
    (POD, "securityContext.seccompProfile", None, "kernel"),
    (POD, "automountServiceAccountToken", True, "has a token"),
    (POD, "serviceAccountName", "default", "account is another"),
    (POD, "hostNetwork", True, "shares the node's"),
    (POD, "enableServiceLinks", True, "other services"),
    (POD, "terminationGracePeriodSeconds", 45, "killed before"),
    (POD, "volumes.0.configMap.name", "lost", "no ConfigMap lost"),
    (POD, "volumes.1", {"name": "spokes", "hostPath": {"path": "/"}}, "neither a ConfigMap"),
    (POD, "volumes.3.projected.defaultMode", 0o444, "others than the hub"),
    (POD, "volumes.3.projected.sources.0", None, "mounted nowhere"),
    (CONTAINER, "securityContext.readOnlyRootFilesystem", False, "not read-only"),
    (CONTAINER, "securityContext.allowPrivilegeEscalation", True, "may become more"),
    (CONTAINER, "securityContext.capabilities.drop", [], "capabilities"),
    (CONTAINER, "resources.limits.memory", None, "no bound on memory"),
    (CONTAINER, "resources.requests", {}, "asks for nothing"),
    (CONTAINER, "volumeMounts.1.readOnly", False, "may write to"),
    (CONTAINER, "volumeMounts.0.mountPath", "/tmp", "nothing that stays"),
    (CONTAINER, "volumeMounts.0.name", "lost", "no volume lost"),
    (CONTAINER, "env.2", {"name": "INSIGHT_HUB__HUB__INSTANCE_ID", "value": "hub"}, "not its pod's"),
    (CONTAINER, "env.1.value", DATA, "another data directory"),
    (CONTAINER, "env.0", {"name": "X", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}, "secret in the environment"),
    (CONTAINER, "env.0", {"name": "KAFKA_PASSWORD", "value": "x"}, "secret in the environment"),
    (CONTAINER, "envFrom", [], "comes from elsewhere"),
    (CONTAINER, "livenessProbe.httpGet.path", "/health/alive", "livenessProbe does not ask"),
    (CONTAINER, "readinessProbe.httpGet.path", "/health/live", "readinessProbe does not ask"),
    (CONTAINER, "startupProbe.httpGet.port", "api", "another port"),
    (CONTAINER, "ports.0.containerPort", 9601, "not that of http.listen"),
    (CONTAINER, "ports.1.containerPort", 80, "not that of serve.listen"),
    (("StatefulSet", ""), "spec.serviceName", "lost", "service is not there"),
    (("StatefulSet", ""), "spec.selector.matchLabels.x", "y", "selects other pods"),
    (("StatefulSet", ""), "spec.template.metadata.annotations", {}, "restart nothing"),
    (("ServiceAccount", ""), "automountServiceAccountToken", True, "has a token"),
    (("PodDisruptionBudget", ""), "spec.selector.matchLabels.x", "y", "selects other pods"),
    (("NetworkPolicy", ""), "spec.policyTypes", ["Ingress"], "direction open"),
    (("NetworkPolicy", ""), "spec.ingress.0.from", [], "anybody is let in"),
    (("NetworkPolicy", ""), "spec.ingress.1", None, "nobody is let in to api"),
    (("NetworkPolicy", ""), "spec.egress.1.ports.1", None, "19092 is not let out"),
    (("NetworkPolicy", ""), "spec.egress.2.ports.0.port", 444, "8443 is not let out"),
    (("NetworkPolicy", ""), "spec.egress.3.ports.0.port", 444, "8081 is not let out"),
    (("PrometheusRule", ""), "spec.groups.0.rules.0", None, "the alert HubDown is not that of"),
    (("PrometheusRule", ""), "spec.groups.0.rules.0.expr", 'up{job="insight-hub"} == 0', "the alert HubDown is not that of"),
    (("PrometheusRule", ""), "spec.groups.0.rules.1.annotations.runbook_url", "deploy/RUNBOOK.md", "HubNotReady leads to no runbook"),
    (("PrometheusRule", ""), "metadata.labels.app\\.kubernetes\\.io/name", "other", "is not that of"),
    (("ServiceMonitor", ""), "spec.endpoints.0.port", "web", "no port of its service"),
    (("ServiceMonitor", ""), "spec.endpoints.0.path", "/prometheus", "no figures"),
    (("ServiceMonitor", ""), "spec.jobLabel", "helm.sh/chart", "job is not"),
    (("ServiceMonitor", ""), "spec.selector.matchLabels", {"app.kubernetes.io/name": "insight-hub"}, "watches other services"),
]
# The same of a rebuild.
REBUILD_INJURIES = [
    ("StatefulSet", "spec.replicas", 1, "instances run"),
    ("Job", "spec.template.spec.containers.0.args", ["run"], "something else"),
    ("Job", "spec.template.spec.volumes.4.persistentVolumeClaim.claimName", "data-lost-0", "first instance's volume"),
    ("Job", "spec.template.metadata.labels.app\\.kubernetes\\.io/component", "instance", "taken for an instance"),
    ("Job", "spec.template.spec.containers.0.securityContext.readOnlyRootFilesystem", False, "not read-only"),
    ("Job", "spec.template.spec.volumes.3.projected.sources.0", None, "mounted nowhere"),
]
# A set of values, what is put there, and what is said.
REFUSED = [
    ("embedded", ["replicas=2"], "a log of its own is one instance"),
    ("embedded", ["replicas=three"], "replicas"),
    ("embedded", ["replica=1"], "replica"),
    ("embedded", ["rebuild=all"], "rebuild"),
    ("embedded", ["settings.hub.worker=1"], "worker"),
    ("embedded", ["settings.hub.workers=many"], "workers"),
    ("embedded", ["settings.hub.data_directory=/tmp"], "data_directory"),
    ("embedded", ["settings.kafka.password_file=/tmp/x"], "password_file"),
    ("embedded", ["settings.topics.touchpoints_feed=1"], "touchpoints_feed"),
    ("embedded", ["settings.kafka.brokers=kafka:9092"], "same key of person ids"),
    ("embedded", ["api.reach=cluster"], "nobody has a token"),
    ("embedded", ["api.reach=world"], "reach"),
    ("embedded", ["api.reach=nobody", "settings.http.company_values=true"], "company_values come from the view"),
    ("embedded", ["spokes=null"], "no mapping"),
    ("embedded", ["spokesConfigMap=mine"], "only one of them"),
    ("embedded", ["secrets.hub\\.person_key_file.secret=a"], "key"),
    ("embedded", ["secrets.hub\\.person_keyfile.secret=a", "secrets.hub\\.person_keyfile.key=a"], "person_keyfile"),
    ("embedded", ["storage.size=much"], "size"),
    ("embedded", ["stopGraceSeconds=0"], "stopGraceSeconds"),
    ("embedded", ["resources.limit.memory=1Gi"], "limit"),
    ("embedded", ["image.digest=sha256:12"], "digest"),
    (
        "embedded",
        [
            "settings.kafka.brokers=kafka:9092", "settings.kafka.security_protocol=sasl_ssl",
            "secrets.hub\\.person_key_file.secret=a", "secrets.hub\\.person_key_file.key=a",
        ],
        "logs in",
    ),
    ("everything", ["schemasConfigMap=mine"], "only one of them"),
    ("everything", ["prometheusRule.enable=true"], "enable"),
    ("everything", ["prometheusRule.runbook=RUNBOOK.md"], "runbook"),
    ("everything", ["networkPolicy.loginTo[0].host=login"], "loginTo"),
]
# Of what kubeconform must not take.
WRONG = [
    ("apiVersion: apps/v1\nkind: StatefulSet", "apiVersion: apps/v2\nkind: StatefulSet"),
    ("  serviceName: ", "  servicename: "),
    ("terminationGracePeriodSeconds: ", "terminationGracePeriodSeconds: a"),
    ("readOnlyRootFilesystem: true", "readOnlyRootFileSystem: true"),
    ("unhealthyPodEvictionPolicy", "unhealthyPodEviction"),
    ("policyTypes: [Ingress, Egress]", "policyTypes: Ingress"),
    ("  jobLabel: ", "  jobLabels: "),
    ("containerPort: 9600", "containerPort: \"9600\""),
    ("apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor", "apiVersion: monitoring.coreos.com/v2\nkind: ServiceMonitor"),
    ("apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule", "apiVersion: monitoring.coreos.com/v2\nkind: PrometheusRule"),
    ("      - alert: HubDown", "      - alarm: HubDown"),
]


def injured(found, kind, path, value):
    found = copy.deepcopy(found)
    *way, last = [int(step) if step.isdigit() else step.replace("\\.", ".") for step in re.split(r"(?<!\\)\.", path)]
    place = one(found, kind)
    for step in way:
        place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return found


def injury_complaints(found):
    """Injuries that no rule sees."""
    unseen = []
    for (kind, before), path, value, expected in INJURIES:
        said = complaints_of(injured(found, kind, before + path, value))
        if not any(expected in complaint for complaint in said):
            unseen.append(f"{kind} {before}{path} = {value!r} is taken: {said}")
    return unseen


def rebuild_injury_complaints(found):
    unseen = []
    for kind, path, value, expected in REBUILD_INJURIES:
        said = rebuild_complaints(injured(found, kind, path, value), "sources")
        if not any(expected in complaint for complaint in said):
            unseen.append(f"{kind} {path} = {value!r} is taken: {said}")
    return unseen


def refusal_complaints(helm):
    complaints = []
    for name, sets, expected in REFUSED:
        sets = [part for one in sets for part in ("--set", one)]
        code, said = run(helm, "template", "hub", CHART, "--values", VALUES[name], *sets)
        if code == 0 or expected not in said:
            complaints.append(f"{name} with {' '.join(sets)} is not refused with {expected!r}: {said[-300:]}")
    return complaints


# --- kubeconform and the hub ---------------------------------------------------------------------------------------------------


def conforms(kubeconform, schemas, version, manifests):
    place = f"{schemas}/{version}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
    return run(kubeconform, "-strict", "-summary", "-schema-location", place, "-", stdin=manifests)


def conform_complaints(kubeconform, schemas, name, manifests):
    complaints = []
    for version in sorted(os.listdir(schemas)):
        code, said = conforms(kubeconform, schemas, version, manifests)
        # One that has nothing to say of a kind must not look like one that takes it.
        if code or "Skipped: 0" not in said:
            complaints.append(f"{name}, Kubernetes {version}: {said}")
    return complaints


def wrong_complaints(kubeconform, schemas, manifests):
    complaints = []
    for version in sorted(os.listdir(schemas)):
        for before, after in WRONG:
            if before not in manifests:
                complaints.append(f"{before!r} is in no manifest: nothing is shown by it")
            elif conforms(kubeconform, schemas, version, manifests.replace(before, after, 1))[0] == 0:
                complaints.append(f"kubeconform takes {after!r}")
    return complaints


def ingress_complaints(kubeconform, schemas, found):
    """The example for browsers outside leads to the Service of the other example, and keeps a browser with one instance."""
    manifest = text("deploy/examples/kafka/ingress.yaml")
    complaints = conform_complaints(kubeconform, schemas, "ingress.yaml", manifest)
    (ingress,) = objects(manifest)
    backends = [path["backend"]["service"] for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
    for backend in backends:
        service = next((it for it in found if it["kind"] == "Service" and it["metadata"]["name"] == backend["name"]), None)
        if not service or all(port["name"] != backend["port"]["name"] for port in service["spec"]["ports"]):
            complaints.append(f"ingress.yaml leads to {backend['name']}, which the chart does not make of values.yaml")
    said = ingress["metadata"]["annotations"]
    nginx = {key.rpartition("/")[2]: value for key, value in said.items() if key.startswith("nginx.ingress.kubernetes.io/")}
    if (nginx.get("affinity"), nginx.get("affinity-mode")) != ("cookie", "persistent"):
        complaints.append("ingress.yaml sends a browser to an instance that does not know its login")
    longest = re.search(r"^ingest_body_bytes_max = (\d+)$", text("deploy/insight-hub.toml"), re.MULTILINE)[1]
    if int(nginx.get("proxy-body-size", "0m").removesuffix("m")) << 20 < int(longest):
        complaints.append("ingress.yaml refuses what serve.ingest_body_bytes_max takes")
    return complaints


def certificate(folder):
    """A certificate and its key, of nobody."""
    code, said = run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
        "-subj", "/CN=test", "-keyout", folder / "key.pem", "-out", folder / "certificate.pem",
    )
    if code:
        raise SystemExit(f"openssl: {said}")
    return {name: (folder / f"{name}.pem").read_text(encoding="utf-8") for name in ("certificate", "key")}


def make_secret(hub, place, key, pem):
    """What an operator would put there."""
    if key == "serve.tokens_file":
        code, said = run(hub, "token", "create", "test", "--role", "read:metrics", "--set", f"serve.tokens_file={place}")
        if code:
            raise SystemExit(f"insight-hub token create: {said}")
        return
    words = {"hub.person_key_file": PERSON_KEY, "oidc.jwks_file": '{"keys": []}'}
    content = words.get(key) or (
        pem["key"] if key.endswith(".key_file") else "a password\n" if "password" in key else pem["certificate"]
    )
    place.write_text(content, encoding="utf-8")
    place.chmod(0o440)


def laid_out(found, folder, hub, pem):
    """The container's files below a folder; the configuration's place."""
    move = {"/etc/insight-hub": f"{folder}/etc", DATA: f"{folder}/data"}
    spec = pod_of(found)["spec"]
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    for volume in spec["volumes"]:
        place = Path(mounts[volume["name"]].replace("/etc/insight-hub", f"{folder}/etc"))
        place.mkdir(parents=True)
        if "configMap" in volume:
            for name, content in one(found, "ConfigMap", volume["configMap"]["name"])["data"].items():
                for before, after in move.items():
                    content = content.replace(f'"{before}/', f'"{after}/')
                (place / name).write_text(content, encoding="utf-8")
        else:
            for source in volume["projected"]["sources"]:
                for item in source["secret"]["items"]:
                    make_secret(hub, place / item["path"], item["path"], pem)
    return Path(mounts["settings"].replace("/etc/insight-hub", f"{folder}/etc")) / "insight-hub.toml"


def hub_complaints(hub, name, found):
    """The hub checks what it would be started with, and refuses what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        pem = certificate(Path(folder))
        config = laid_out(found, folder, hub, pem)
        environment = {"PATH": os.environ["PATH"], "INSIGHT_HUB__HUB__INSTANCE_ID": "hub-0"}
        code, said = run(hub, "check", "--config", config, env=environment, cwd=folder)
        complaints = [] if code == 0 and "chmod" not in said else [f"{name}: the hub says of it ({code}): {said}"]
        config.write_text(config.read_text(encoding="utf-8").replace("[hub]\n", "[hub]\nworker = 1\n"), encoding="utf-8")
        if run(hub, "check", "--config", config, env=environment, cwd=folder)[0] != 2:
            complaints.append(f"{name}: the hub takes a setting that there is not")
        return complaints


def main(helm, kubeconform, schemas, hub):
    complaints, count = [], 0
    for name, values in VALUES.items():
        code, said = run(helm, "lint", "--strict", CHART, "--values", values)
        complaints += [f"helm lint, {name}: {said}"] if code else []
        manifests = rendered(helm, values)
        found = objects(manifests)
        count += len(found)
        complaints += [f"{name}: {complaint}" for complaint in complaints_of(found)]
        complaints += conform_complaints(kubeconform, schemas, name, manifests)
        complaints += hub_complaints(hub, name, found)
        complaints += ingress_complaints(kubeconform, schemas, found) if name == "kafka" else []
        for what in ("definition", "sources"):
            rebuilding = rendered(helm, values, "--set", f"rebuild={what}")
            rebuilt = objects(rebuilding)
            complaints += [f"{name}, rebuild: {complaint}" for complaint in rebuild_complaints(rebuilt, what)]
            complaints += conform_complaints(kubeconform, schemas, f"{name}, rebuild", rebuilding)
    complaints += injury_complaints(found) + rebuild_injury_complaints(rebuilt)
    complaints += refusal_complaints(helm)
    complaints += wrong_complaints(kubeconform, schemas, manifests)
    for complaint in complaints:
        print(complaint)
    print(
        f"{len(VALUES)} sets of values, {count} manifests; {len(INJURIES) + len(REBUILD_INJURIES)} injuries, {len(REFUSED)} values and {len(WRONG)} manifests"
        f" to be refused: {len(complaints)} complaints"
    )
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
