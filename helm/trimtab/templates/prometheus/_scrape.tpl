{{/* prometheus.yml: what the operator's figures come from. It fits Prometheus 2.42 and later. */}}
{{- define "trimtab.scrapeConfig" -}}
{{- $interval := printf "%vs" .Values.prometheus.scrapeSeconds -}}
global:
  scrape_interval: {{ $interval }}
  scrape_timeout: {{ $interval }}
  evaluation_interval: {{ $interval }}
rule_files: [/etc/prometheus/rules.yaml]
scrape_configs:
  - job_name: operator
    kubernetes_sd_configs:
      - role: pod
        namespaces:
          names: [{{ .Release.Namespace }}]
        selectors:
          - role: pod
            label: app.kubernetes.io/component=operator,app.kubernetes.io/instance={{ .Release.Name }}
    relabel_configs:
      - {source_labels: [__meta_kubernetes_pod_container_port_name], regex: metrics, action: keep}
      # Not "namespace": the operator's series say the namespace of the workload that they are about.
      - {source_labels: [__meta_kubernetes_namespace], target_label: operator_namespace}
      - {source_labels: [__meta_kubernetes_pod_name], target_label: operator_pod}

  # Training, serving and load pods, by their annotations. The labels come from the pod's labels, so a workload's own
  # metrics need not name it.
  - job_name: workloads
    kubernetes_sd_configs:
      - role: pod
    relabel_configs:
      - {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_scrape], regex: "true", action: keep}
      - {source_labels: [__meta_kubernetes_pod_annotation_trimtab_dev_honor_labels], regex: "true", action: drop}
      {{- include "trimtab.podTarget" . | nindent 6 }}
      - {source_labels: [__meta_kubernetes_namespace], target_label: namespace}
      - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
      - {source_labels: [__meta_kubernetes_pod_label_trimtab_dev_workload], target_label: workload}
      - {source_labels: [__meta_kubernetes_pod_label_trimtab_dev_workload_kind], target_label: workload_kind}
      - {source_labels: [__meta_kubernetes_pod_label_trimtab_dev_hardware_class], target_label: hardware_class}

  # CPU time of every pod, as the kubelet counts it: what energy and cost are worked out from.
  - job_name: kubelet-resource
    kubernetes_sd_configs:
      - role: node
    scheme: https
    metrics_path: /metrics/resource
    authorization:
      credentials_file: /var/run/secrets/kubernetes.io/serviceaccount/token
    tls_config:
      {{- if .Values.prometheus.kubeletInsecureSkipVerify }}
      # Kubelets mostly have certificates that they signed themselves.
      insecure_skip_verify: true
      {{- else }}
      ca_file: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
      {{- end }}
    relabel_configs:
      # Nodes that kwok simulates have no kubelet.
      - {source_labels: [__meta_kubernetes_node_label_type], regex: kwok, action: drop}
      - {source_labels: [__meta_kubernetes_node_name], target_label: node}
    metric_relabel_configs:
      - source_labels: [__name__]
        regex: (pod|node)_(cpu_usage_seconds_total|memory_working_set_bytes)|container_start_time_seconds|(resource_)?scrape_error
        action: keep

  # Exporters that speak for other pods (simulated ones): their labels stand.
  - job_name: simulated
    honor_labels: true
    kubernetes_sd_configs:
      - role: pod
    relabel_configs:
      - {source_labels: [__meta_kubernetes_pod_annotation_trimtab_dev_honor_labels], regex: "true", action: keep}
      {{- include "trimtab.podTarget" . | nindent 6 }}
{{- end }}

{{/* The address of a running pod, from the port that it is annotated with (IPv6 goes into brackets). */}}
{{- define "trimtab.podTarget" -}}
- {source_labels: [__meta_kubernetes_pod_phase], regex: Running, action: keep}
- {source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_port], regex: \d+, action: keep}
- source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_port, __meta_kubernetes_pod_ip]
  regex: (\d+);((?:[0-9]+\.){3}[0-9]+)
  replacement: $2:$1
  target_label: __address__
- source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_port, __meta_kubernetes_pod_ip]
  regex: (\d+);([0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)
  replacement: "[$2]:$1"
  target_label: __address__
- source_labels: [__meta_kubernetes_pod_annotation_prometheus_io_path]
  regex: (.+)
  target_label: __metrics_path__
{{- end }}
