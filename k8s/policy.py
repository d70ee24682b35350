"""What every pod of a rendered overlay must be, whatever the overlay changes. Usage: policy.py RENDERED.yaml"""

import sys

import yaml

# A process aborts its own drain after 25 s (host::shutdown::DRAIN_DURATION_MAX).
DRAIN_SECONDS = 25
PORTS = {"shard": {9000, 9100}, "coordinator": {9000, 9100, 8545}, "relay": {9000, 9100}}


def complaints(objects):
    named = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    for (kind, name), each in named.items():
        if kind != "StatefulSet":
            continue
        spec = each["spec"]["template"]["spec"]
        yield from (f"{name}: {text}" for text in pod(name, spec))
        if ("PodDisruptionBudget", name) not in named:
            yield f"{name}: no disruption budget"
        if ("Service", each["spec"]["serviceName"]) not in named:
            yield f"{name}: its headless service is not there"
        labels = each["spec"]["template"]["metadata"]["labels"]
        for other in objects:
            if other["kind"] == "Service" and other["metadata"]["name"] == each["spec"]["serviceName"]:
                if any(labels.get(key) != value for key, value in other["spec"]["selector"].items()):
                    yield f"{name}: its service selects other pods"
    # cert-manager makes the secrets that its certificates name.
    asked = {each["spec"]["secretName"] for (kind, _), each in named.items() if kind == "Certificate"}
    known = {("Secret", name) for name in asked}
    known |= {("ConfigMap", name) for kind, name in named if kind == "ConfigMap"}
    known |= {("Secret", name) for kind, name in named if kind == "Secret"}
    for (kind, name), each in named.items():
        for volume in each.get("spec", {}).get("template", {}).get("spec", {}).get("volumes", []):
            for what, key, field in (("ConfigMap", "configMap", "name"), ("Secret", "secret", "secretName")):
                if key in volume and (what, volume[key][field]) not in known:
                    yield f"{name}: mounts {what} {volume[key][field]}, which is not there"


def pod(name, spec):
    security = spec.get("securityContext", {})
    if security.get("runAsNonRoot") is not True or not security.get("fsGroup"):
        yield "does not run as a user and group of its own"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    if spec.get("automountServiceAccountToken") is not False:
        yield "is given a service account's token"
    if spec.get("enableServiceLinks") is not False:
        yield "is given Kubernetes' service variables, which can be taken for settings"
    if spec.get("terminationGracePeriodSeconds", 30) <= DRAIN_SECONDS:
        yield f"is killed before its drain of {DRAIN_SECONDS} s has ended"
    if not spec.get("topologySpreadConstraints"):
        yield "may all be on one machine"
    for container in spec["containers"] + spec.get("initContainers", []):
        inside = container.get("securityContext", {})
        if inside.get("allowPrivilegeEscalation") is not False or inside.get("capabilities", {}).get("drop") != ["ALL"]:
            yield "has privileges"
        if inside.get("readOnlyRootFilesystem") is not True:
            yield "can write into its image"
        if not container.get("resources", {}).get("requests"):
            yield "asks for no resources"
        probes = {probe: container.get(probe, {}).get("httpGet", {}).get("path") for probe in
                  ("startupProbe", "livenessProbe", "readinessProbe")}
        if probes != {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}:
            yield f"is probed otherwise than it answers: {probes}"
        ports = {port["containerPort"] for port in container.get("ports", [])}
        if ports != PORTS[name]:
            yield f"has ports {sorted(ports)}, not {sorted(PORTS[name])}"
        # All pods of a kind share their certificate, and a subPath would never see it renewed.
        secrets = {volume["name"] for volume in spec["volumes"] if "secret" in volume and volume["name"] != "tls"}
        variables = {each["name"]: each.get("value") for each in container.get("env", [])}
        if any(volume["name"] == "tls" for volume in spec["volumes"]):
            if not any(name.endswith("_INSECURE") and value == "false" for name, value in variables.items()):
                yield "has certificates and speaks plain text"
            if not any(mount["name"] == "tls" and "subPath" not in mount for mount in container["volumeMounts"]):
                yield "has certificates that are never renewed"
        for mount in container["volumeMounts"]:
            if mount["name"] in secrets and not (mount.get("subPathExpr") and mount.get("readOnly")):
                yield "sees the keys of other pods"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        objects = [each for each in yaml.safe_load_all(file) if each]
    found = list(complaints(objects))
    for text in found:
        print(f"policy: {text}", file=sys.stderr)
    if not any(each["kind"] == "StatefulSet" for each in objects):
        sys.exit("policy: nothing to look at")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
