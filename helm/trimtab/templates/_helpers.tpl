{{/* Names start with the release, so that `<release>-prometheus` is where everyone expects it. */}}
{{- define "trimtab.operator" -}}
{{ printf "%s-operator" (.Release.Name | trunc 50 | trimSuffix "-") }}
{{- end }}

{{- define "trimtab.prometheus" -}}
{{ printf "%s-prometheus" (.Release.Name | trunc 50 | trimSuffix "-") }}
{{- end }}

{{/* Labels that select: never changed by an upgrade. Call with a dict of root and component. */}}
{{- define "trimtab.selectorLabels" -}}
app.kubernetes.io/name: trimtab
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "trimtab.labels" -}}
{{ include "trimtab.selectorLabels" . }}
app.kubernetes.io/part-of: trimtab
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name (.root.Chart.Version | replace "+" "_") }}
{{- end }}

{{/* A full image name: the registry and the tag of `images` unless the name has its own. */}}
{{- define "trimtab.image" -}}
{{- $images := .root.Values.images -}}
{{- $name := .name -}}
{{- $first := splitList "/" $name | first -}}
{{- $hasRegistry := and (contains "/" $name) (or (contains "." $first) (contains ":" $first) (eq $first "localhost")) -}}
{{- if and $images.registry (not $hasRegistry) -}}
{{- $name = printf "%s/%s" (trimSuffix "/" $images.registry) $name -}}
{{- end -}}
{{- if not (or (contains "@" $name) (contains ":" (splitList "/" $name | last))) -}}
{{- $name = printf "%s:%s" $name (default .root.Chart.AppVersion $images.tag) -}}
{{- end -}}
{{ $name }}
{{- end }}

{{/* Where the operator asks for metrics; empty means nowhere. */}}
{{- define "trimtab.prometheusUrl" -}}
{{- if and .Values.prometheus.enabled .Values.prometheus.url -}}
{{- fail "prometheus.url is set while prometheus.enabled is true: set prometheus.enabled=false to use your own Prometheus, or leave prometheus.url empty" -}}
{{- end -}}
{{- if .Values.prometheus.enabled -}}
{{ printf "http://%s.%s.svc:9090" (include "trimtab.prometheus" .) .Release.Namespace }}
{{- else -}}
{{ .Values.prometheus.url }}
{{- end -}}
{{- end }}

{{/* The Secret with the webhooks' certificates. */}}
{{- define "trimtab.webhookSecret" -}}
{{ include "trimtab.operator" . }}-webhook
{{- end }}

{{/* Where the operator finds, or puts, the webhooks' certificate. */}}
{{- define "trimtab.webhookDirectory" -}}
/var/run/trimtab-webhook
{{- end }}

{{/* What both webhooks have in common. */}}
{{- define "trimtab.webhook" -}}
failurePolicy: {{ .Values.admission.failurePolicy }}
timeoutSeconds: {{ .Values.admission.timeoutSeconds }}
sideEffects: None
matchPolicy: Equivalent
admissionReviewVersions: [v1]
# Nothing is looked at in a namespace that says so.
namespaceSelector:
  matchExpressions:
    - {key: trimtab.dev/admission, operator: NotIn, values: [ignore]}
{{- end }}

{{- define "trimtab.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "trimtab.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Where a pod may go: call with the values that hold the four fields. */}}
{{- define "trimtab.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
