#!/usr/bin/env bash
# Brings what is derived up to date: the chart's copies of rules and dashboard, and manifests/install from the chart.
# With --check it changes nothing and fails where something is out of date. HELM names the helm to use.
set -euo pipefail
cd "$(dirname "$0")/.."
helm="${HELM:-helm}"
command -v "$helm" >/dev/null || { echo "$0: no helm found; install it, or set HELM to its path" >&2; exit 2; }
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
status=0

put() {  # put NEW TARGET
  cmp -s "$1" "$2" && return
  if [ "${check:-}" ]; then
    echo "$2 is out of date: run bash manifests/render.sh" >&2
    diff -u "$2" "$1" | head -20 >&2 || true
    status=1
  else
    mkdir -p "$(dirname "$2")"
    cat "$1" >"$2"
    echo "wrote $2"
  fi
}

[ "${1:-}" != "--check" ] || check=1
put manifests/prometheus/rules.yaml helm/trimtab/files/rules.yaml
put manifests/grafana/trimtab.json helm/trimtab/files/dashboard.json
{
  echo "# Generated from helm/trimtab by manifests/render.sh: edit the chart instead."
  "$helm" template trimtab helm/trimtab --namespace trimtab-system --skip-crds --kube-version 1.37.0 |
    sed -e '/^# Source: /d' -e 's/\(app.kubernetes.io\/managed-by\): Helm/\1: kubectl/' -e '/helm.sh\/chart:/d'
} >"$work/trimtab.yaml"
put "$work/trimtab.yaml" manifests/install/trimtab.yaml
exit "$status"
