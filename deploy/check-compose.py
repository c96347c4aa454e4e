"""Checks a compose file against the specification's own types, and against what docs/operations.md promises of ours."""

import re
import sys

import yaml
from compose_spec import PyCompose

OURS = {"realtime-1", "realtime-2", "worker", "admin"}
SERVERS = {"postgres", "redis", "rabbitmq", "proxy"}


def interpolated(text):
    """What compose puts in for ${NAME}, ${NAME:-default} and ${NAME:?why}, as if every required one were a password."""
    return re.sub(r"(?<!\$)\$\{[A-Z_]+(?::([-?])([^}]*))?\}", lambda found: found[2] if found[1] == "-" else "0" * 48, text)


def laid_over(base, over):
    """As compose reads a second file: its ports are added, and its volumes take the place of those at the same path."""
    for name, more in over["services"].items():
        service = base["services"][name]
        service["ports"] = service.get("ports", []) + more.pop("ports", [])
        paths = {volume.split(":")[1]: volume for volume in service.get("volumes", []) + more.pop("volumes", [])}
        service["volumes"] = list(paths.values())
        assert not more, f"{name} changes {sorted(more)}"
    return base


def wrongs(text, over=None):
    merged = yaml.safe_load(interpolated(text))
    if over:
        merged = laid_over(merged, yaml.safe_load(interpolated(over)))
        if [port.split(":", 1)[1] for port in merged["services"]["proxy"]["ports"]] != ["8080:8080", "443:8443"]:
            yield "the redirect of deploy/proxy/tls leads to 443, and its listen.conf is not published there"
        if "./deploy/proxy/here:/etc/pipecast/here:ro" not in merged["services"]["proxy"]["volumes"]:
            yield "the proxy does not read deploy/proxy/here"
    parsed = PyCompose.from_yaml(yaml.safe_dump(merged))
    for check in (parsed.validate_networks, parsed.validate_volumes, parsed.validate_secrets, parsed.validate_configs):
        check()
    services = merged["services"]
    if set(services) != OURS | SERVERS:
        yield f"the services are {sorted(services)}"
    for name, service in services.items():
        if service.get("cap_drop") != ["ALL"] or service.get("security_opt") != ["no-new-privileges:true"] or not service.get("read_only"):
            yield f"{name} is not hardened"
        if service.get("user", "root").split(":")[0] in ("root", "0"):
            yield f"{name} runs as root"
        if "healthcheck" not in service or "mem_limit" not in service or "pids_limit" not in service:
            yield f"{name} lacks a health check or a limit"
        if "ports" in service and name != "proxy":
            yield f"{name} is published"
        if name in SERVERS - {"proxy"} and service["networks"] != ["back"]:
            yield f"{name} is in reach of the proxy's network"
    spools = [tuple(services[name]["volumes"]) for name in ("realtime-1", "realtime-2")]
    if len(set(spools)) != 2:
        yield "the edges share a spool"
    for name in re.findall(r"\$\{([A-Z_]*(?:PASSWORD|SECRET))([^}]*)\}", text):
        if not name[1].startswith(":?"):
            yield f"{name[0]} has a default"


if __name__ == "__main__":
    texts = [open(file, encoding="utf-8").read() for file in sys.argv[1:]]
    sys.exit("\n".join(f"{sys.argv[-1]}: {wrong}" for wrong in wrongs(*texts)) or 0)
