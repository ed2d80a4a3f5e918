"""The files of deploy/: valid, hardened, and naming metrics and routes that exist.

Schemas come by `pip install 'metajax[deploy]'`, and promtool with Debian's package prometheus; what is not there skips.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from metajax.cli.serving import ServeOptions
from metajax.serving.metrics import Metrics
from metajax.serving.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
OBJECTS = {one["kind"]: one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}
POD = OBJECTS["Deployment"]["spec"]["template"]["spec"]
RULES = [rule for group in yaml.safe_load((DEPLOY / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
DASHBOARD = json.loads((DEPLOY / "dashboard.json").read_text())
EXTRA = "pip install 'metajax[deploy]'"


def test_kubernetes_objects_fit_their_schemas():
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason=EXTRA)
    wanted = {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy"}
    assert OBJECTS.keys() == wanted
    for one in OBJECTS.values():
        kubernetes_validate.validate(one, "1.33", strict=True)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(OBJECTS["Service"] | {"spce": {}}, "1.33", strict=True)


def test_the_compose_file_fits_its_schema():
    compose_spec = pytest.importorskip("compose_spec", reason=EXTRA)
    text = (DEPLOY / "compose.yaml").read_text()
    compose_spec.PyCompose.from_yaml(text).validate()
    with pytest.raises(ValueError, match="read_onyl"):
        compose_spec.PyCompose.from_yaml(text.replace("read_only", "read_onyl"))


def test_hadolint_finds_nothing():
    beside = str(Path(sys.executable).parent)  # where pip puts it: `make test` activates no environment
    hadolint = shutil.which("hadolint", path=os.pathsep.join([beside, os.environ["PATH"]]))
    if hadolint is None:
        pytest.skip(f"needs hadolint: {EXTRA}")
    done = subprocess.run([hadolint, "--no-color", DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_promtool_accepts_the_alerts(tmp_path):
    """And each alert fires where it should: series of thirty minutes, a value a minute."""
    if shutil.which("promtool") is None:
        pytest.skip("needs promtool, of Debian's package prometheus")
    series = {
        'up{job="metajax", instance="a"}': "0x120",
        'metajax_ready{job="metajax", instance="a"}': "0x120",
        'metajax_store_errors_total{instance="a", call="read"}': "0+1x120",
        'metajax_request_seconds_count{job="metajax", instance="a", route="/v1/recommend", status="200"}': "0+100x120",
        'metajax_request_seconds_count{job="metajax", instance="a", route="/v1/recommend", status="504"}': "0+10x120",
        'metajax_request_seconds_count{job="metajax", instance="a", route="/v1/recommend", status="429"}': "0+10x120",
        'metajax_late_compilations_total{instance="a"}': "0+1x120",
        'metajax_request_seconds_bucket{instance="a", route="/v1/recommend", status="200", le="0.15"}': "0+50x120",
        'metajax_request_seconds_bucket{instance="a", route="/v1/recommend", status="200", le="0.25"}': "0+100x120",
        'metajax_request_seconds_bucket{instance="a", route="/v1/recommend", status="200", le="+Inf"}': "0+100x120",
        'metajax_rating_shift{instance="a"}': "-0.8x120",
        'metajax_coverage{instance="a", of="recommended"}': "0.01x120",
        'metajax_coverage{instance="a", of="trained"}': "0.9x120",
        'metajax_arm_total{instance="a", model="one", arm="a"}': "0+100x120",
        'metajax_unknown_items_total{job="metajax", instance="a"}': "0+10x120",
        'metajax_known_items_total{job="metajax", instance="a"}': "0+90x120",
        'metajax_untrained_item_ratings_total{job="metajax", instance="a"}': "0+20x120",
        'metajax_feedback_total{job="metajax", instance="a", outcome="rated"}': "0+80x120",
    }
    # promtool itself compares alerts with expectations; here it is asked for the count of each that fires.
    names = [rule["alert"] for rule in RULES]
    tests = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in given.items()],
            "promql_expr_test": [
                {
                    "expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}})',
                    "eval_time": "115m",
                    "exp_samples": [{"labels": "{}", "value": 1}] if given is series else [],
                }
                for name in names
            ],
        }
        for given in (series, {name: "1x120" for name in series if name.startswith(("up", "metajax_ready"))})
    ]
    file = tmp_path / "tests.yaml"
    file.write_text(json.dumps({"rule_files": [str(DEPLOY / "alerts.yaml")], "tests": tests}))
    done = subprocess.run(["promtool", "test", "rules", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def exposed() -> set[str]:
    """Return the names of the service's series."""
    text = Metrics().text().decode()
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        names |= {f"{name}_{part}" for part in ("bucket", "sum", "count")} if kind == "histogram" else {name}
    return {name for name in names if not name.endswith("_created")}


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"\bmetajax_\w+", expression))


def test_every_metric_that_is_named_exists():
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    named = set().union(*map(names_in, panels))
    shown = {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in named}
    assert shown >= {re.sub(r"_(bucket|sum|count|total)$", "", name) for name in exposed()}, "no panel shows it"
    for rule in RULES:
        named |= names_in(rule["expr"])
    named |= {OBJECTS["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["pods"]["metric"]["name"]}
    assert named - exposed() == set()


def test_labels_and_routes_that_alerts_name_are_those_of_the_service(running):
    running.post("/v1/recommend", {"user": "anna"})
    running.rate("anna", i0=5.0)
    running.post("/v1/recommend", {"user": "anna"})
    metrics = running.get("/metrics").text
    for series in (
        'metajax_request_seconds_count{route="/v1/recommend",status="200"}',
        'metajax_request_seconds_count{route="/v1/feedback",status="200"}',
        'metajax_store_errors_total{call="read"}',
        'metajax_feedback_total{outcome="rated"}',
        'metajax_coverage{of="recommended"}',
        'metajax_coverage{of="trained"}',
        'metajax_arm_total{arm="a",model="one"}',
    ):
        assert series in metrics, series


def test_every_alert_says_what_and_how_bad():
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert {"summary", "description"} <= rule["annotations"].keys()


def test_panels_do_not_overlap():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + column, place["y"] + row) for column in range(place["w"]) for row in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_the_image_is_pinned_and_runs_as_nobody():
    images = re.findall(r"^(?:FROM|ARG PYTHON=) ?(\S+)", DOCKERFILE, re.MULTILINE)
    images += [service["image"] for service in COMPOSE["services"].values()]
    named = {image for image in images if image not in ("${PYTHON}", "metajax")}
    assert all(re.fullmatch(r"[\w./-]+:[\d.]+[\w.-]*", image) for image in named), named
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert DOCKERFILE.index("USER 10001") < DOCKERFILE.index("ENTRYPOINT")
    assert "STOPSIGNAL SIGTERM" in DOCKERFILE
    assert "/health/ready" in DOCKERFILE[DOCKERFILE.index("HEALTHCHECK") :]
    for install in re.findall(r"pip install[^&\n]*", DOCKERFILE):
        assert "--require-hashes" in install or "--no-deps wheels/" in install


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-build.txt"])
def test_the_image_has_the_pins_that_were_tested(name):
    pins = re.compile(r"^([a-z0-9.-]+==\S+)", re.MULTILINE)
    tested = set(pins.findall((ROOT / "requirements" / "py313.txt").read_text()))
    installed = set(pins.findall((DEPLOY / name).read_text()))
    assert installed
    assert installed <= tested
    assert "://" not in (DEPLOY / name).read_text()


def flags(arguments):
    return {one.split("=")[0].removeprefix("--").replace("-", "_") for one in arguments if one.startswith("--")}


def test_what_containers_are_told_is_what_the_command_takes():
    options = ServeOptions.__dataclass_fields__.keys()
    image = json.loads(re.search(r"^CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)[1])
    for command in (image, POD["containers"][0]["args"], COMPOSE["services"]["metajax-1"]["command"]):
        assert command[0] == "serve"
        assert flags(command) <= options
        assert "--host=0.0.0.0" in command or "0.0.0.0" in command


def test_replicas_share_a_store_that_is_durable_and_secrets_come_from_files():
    services = COMPOSE["services"]
    assert services["metajax-1"] == services["metajax-2"]
    redis = " ".join(services["redis"]["command"])
    assert "--appendonly yes --appendfsync always" in redis
    assert "noeviction" in redis
    for service in services.values():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert not {"privileged", "network_mode"} & service.keys()
    assert all(secret["file"].startswith("./secrets/") for secret in COMPOSE["secrets"].values())
    assert not re.search(r"://[^$\s]*:[^$\s]+@", yaml.safe_dump(COMPOSE))
    assert "ports" not in services["metajax-1"]
    assert services["redis"]["networks"] == ["back"]
    assert COMPOSE["networks"]["back"]["internal"]


def test_pods_are_probed_and_may_do_little():
    container = POD["containers"][0]
    probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert probes == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert POD["securityContext"]["runAsNonRoot"]
    assert not POD["automountServiceAccountToken"]
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert POD["terminationGracePeriodSeconds"] > 10 + 5


def test_selectors_select_the_pods():
    labels = OBJECTS["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert OBJECTS["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["Service"]["spec"]["selector"] == labels
    assert OBJECTS["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert OBJECTS["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    target = OBJECTS["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert target["name"] == OBJECTS["Deployment"]["metadata"]["name"]


def test_the_proxy_keeps_to_itself_what_is_for_operators():
    caddyfile = (DEPLOY / "Caddyfile").read_text()
    assert "@inside path /metrics /metrics/* /v1/admin /v1/admin/*\n" in caddyfile
    assert "respond @inside 404" in caddyfile
    assert {"metajax-1:8000", "metajax-2:8000"} <= set(caddyfile.split())


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "//metrics", "/v1/admin/models", "/v1//admin/models/"])
def test_the_service_takes_a_path_with_slashes_too_many(running, path):
    """So the proxy must know more than a path as it is written."""
    response = running.get(f"http://testserver.local{path}")
    assert response.json()["error"]["message"] == "Not Found" if "admin" in path else response.status_code == 200


def test_a_container_can_read_its_models_and_keys():
    """The file of keys keeps the mode that it is given here: see `test_a_file_that_others_may_read_stays_so`."""
    head = (DEPLOY / "compose.yaml").read_text().partition("x-metajax")[0]
    assert "mkdir -p models && mkdir -p -m 700 secrets\n" in head
    assert head.index("keys create") < head.index("chmod 644 secrets/*") < head.index("docker compose up")


def test_a_pod_is_added_for_a_batch_that_waits():
    pods = OBJECTS["HorizontalPodAutoscaler"]["spec"]["metrics"][0]["pods"]
    assert pods["target"]["averageValue"] == str(Settings().buckets.tasks[-1])
    assert f"A batch holds {Settings().buckets.tasks[-1]}:" in (DEPLOY / "kubernetes.yaml").read_text()
