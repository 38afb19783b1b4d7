{{/* The specification of a pod with the hub in it. root: the chart's own; args: what it does; isInstance: whether it is one of those that run. */}}
{{- define "insight-hub.pod" -}}
{{- $root := .root }}
{{- $name := include "insight-hub.fullname" $root }}
{{- $spokes := default (printf "%s-spokes" $name) $root.Values.spokesConfigMap }}
{{- $schemas := default (ternary (printf "%s-schemas" $name) "" (not (empty $root.Values.schemas))) $root.Values.schemasConfigMap -}}
serviceAccountName: {{ include "insight-hub.serviceAccount" $root }}
automountServiceAccountToken: false
enableServiceLinks: false
# Above hub.stop_deadline_seconds, so that the hub's own deadline decides.
terminationGracePeriodSeconds: {{ add (dig "hub" "stop_deadline_seconds" 25 $root.Values.settings | int) (int $root.Values.stopGraceSeconds) }}
securityContext:
  runAsNonRoot: true
  # The user of the image.
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .isInstance }}
{{- with $root.Values.spread }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ . }}
    maxSkew: 1
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "insight-hub.instances" $root | nindent 8 }}
  {{- end }}
{{- end }}
{{- end }}
containers:
  - name: hub
    image: {{ include "insight-hub.image" $root }}
    imagePullPolicy: {{ $root.Values.image.pullPolicy }}
    args: {{ toJson .args }}
    env:
      - name: INSIGHT_HUB_CONFIG
        value: /etc/insight-hub/settings/insight-hub.toml
      # The image has another place for an instance without a chart.
      - name: INSIGHT_HUB__HUB__DATA_DIRECTORY
        value: /var/lib/insight-hub/data
      {{- if .isInstance }}
      # Static membership: an instance that comes back under its name keeps its partitions.
      - name: INSIGHT_HUB__HUB__INSTANCE_ID
        valueFrom:
          fieldRef:
            fieldPath: metadata.name
      {{- end }}
    {{- if .isInstance }}
    ports:
      - { name: metrics, containerPort: 9600, protocol: TCP }
      {{- if ne $root.Values.api.reach "nobody" }}
      - { name: api, containerPort: 9700, protocol: TCP }
      {{- end }}
    startupProbe:
      httpGet: { path: /health/live, port: metrics }
      {{- toYaml $root.Values.probes.startup | nindent 6 }}
    livenessProbe:
      httpGet: { path: /health/live, port: metrics }
      {{- toYaml $root.Values.probes.liveness | nindent 6 }}
    readinessProbe:
      httpGet: { path: /health/ready, port: metrics }
      {{- toYaml $root.Values.probes.readiness | nindent 6 }}
    {{- end }}
    resources:
      {{- toYaml $root.Values.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      privileged: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
    volumeMounts:
      - { name: data, mountPath: /var/lib/insight-hub }
      - { name: settings, mountPath: /etc/insight-hub/settings, readOnly: true }
      - { name: spokes, mountPath: /etc/insight-hub/spokes, readOnly: true }
      {{- if $schemas }}
      - { name: schemas, mountPath: /etc/insight-hub/schemas, readOnly: true }
      {{- end }}
      {{- if $root.Values.secrets }}
      - { name: secrets, mountPath: {{ include "insight-hub.folder" $root }}, readOnly: true }
      {{- end }}
volumes:
  - name: settings
    configMap:
      name: {{ $name }}-settings
  - name: spokes
    configMap:
      name: {{ $spokes }}
  {{- with $schemas }}
  - name: schemas
    configMap:
      name: {{ . }}
  {{- end }}
  {{- with $root.Values.secrets }}
  - name: secrets
    projected:
      # Read by the group of the pod, which is the hub's alone.
      defaultMode: 0440
      sources:
        {{- range $setting, $file := . }}
        - secret:
            name: {{ $file.secret }}
            items:
              - { key: {{ $file.key | quote }}, path: {{ $setting }} }
        {{- end }}
  {{- end }}
{{- end }}
