{{/* Names, labels, and what the chart says of the hub's settings. */}}

{{- define "insight-hub.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 48 | trimSuffix "-" }}
{{- end }}

{{/* 48 characters: a pod's name adds to it, and is the name of an instance in Kafka. */}}
{{- define "insight-hub.fullname" -}}
{{- $name := include "insight-hub.name" . }}
{{- $made := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $made .Values.fullnameOverride | trunc 48 | trimSuffix "-" }}
{{- end }}

{{- define "insight-hub.serviceAccount" -}}
{{- default (include "insight-hub.fullname" .) .Values.serviceAccount.name }}
{{- end }}

{{- define "insight-hub.selector" -}}
app.kubernetes.io/name: {{ include "insight-hub.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Of the pods that are instances: a rebuild's is none. */}}
{{- define "insight-hub.instances" -}}
{{ include "insight-hub.selector" . }}
app.kubernetes.io/component: instance
{{- end }}

{{- define "insight-hub.labels" -}}
{{ include "insight-hub.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "insight-hub.image" -}}
{{- with .Values.image }}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{ end }}
{{- end }}
{{- end }}

{{/* The brokers, or nothing: then the hub keeps a log of its own. */}}
{{- define "insight-hub.brokers" -}}
{{- dig "kafka" "brokers" "" .Values.settings }}
{{- end }}

{{- define "insight-hub.folder" -}}
/etc/insight-hub/secrets
{{- end }}

{{/* What the chart itself says of the settings, over what the values say: where things are in the container. */}}
{{- define "insight-hub.settings" -}}
{{- $own := dict "hub" (dict "data_directory" "/var/lib/insight-hub/data") "http" (dict "listen" "0.0.0.0:9600") "spokes" (dict "directory" "/etc/insight-hub/spokes") }}
{{- if or .Values.schemas .Values.schemasConfigMap }}
{{- $_ := set $own "schemas" (dict "directory" "/etc/insight-hub/schemas") }}
{{- end }}
{{- if ne .Values.api.reach "nobody" }}
{{- $_ := set $own "serve" (dict "listen" (ternary "0.0.0.0:9700" "127.0.0.1:9700" (eq .Values.api.reach "cluster"))) }}
{{- end }}
{{- range $setting, $file := .Values.secrets }}
{{- $parts := splitList "." $setting }}
{{- $section := default dict (get $own (first $parts)) }}
{{- $_ := set $section (last $parts) (printf "%s/%s" (include "insight-hub.folder" $) $setting) }}
{{- $_ := set $own (first $parts) $section }}
{{- end }}
{{- toJson (mustMergeOverwrite (deepCopy .Values.settings) $own) }}
{{- end }}

{{/* Settings as TOML: scalars in sections, of which one has a section inside. Texts of JSON are texts of TOML. */}}
{{- define "insight-hub.toml" -}}
{{- range $section, $keys := fromJson (include "insight-hub.settings" .) }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{- if not (kindIs "map" $value) }}
{{ $key }} = {{ toJson $value }}
{{- end }}
{{- end }}
{{- range $key, $value := $keys }}
{{- if kindIs "map" $value }}
[{{ $section }}.{{ $key }}]
{{- range $name, $property := $value }}
{{ $name }} = {{ toJson $property }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What values.schema.json cannot say. */}}
{{- define "insight-hub.validate" -}}
{{- $brokers := include "insight-hub.brokers" . }}
{{- if and (not $brokers) (gt (int .Values.replicas) 1) }}
{{- fail (printf "replicas is %v, and there are no settings.kafka.brokers: a hub with a log of its own is one instance; set replicas to 1, or name your brokers" .Values.replicas) }}
{{- end }}
{{- if and $brokers (not (hasKey .Values.secrets "hub.person_key_file")) }}
{{- fail "on Kafka all instances need the same key of person ids: make a Secret of `openssl rand -hex 32`, and name it in secrets, as hub.person_key_file" }}
{{- end }}
{{- if and (hasPrefix "sasl_" (dig "kafka" "security_protocol" "" .Values.settings)) (not (hasKey .Values.secrets "kafka.password_file")) }}
{{- fail "settings.kafka.security_protocol logs in: name the Secret with the password in secrets, as kafka.password_file" }}
{{- end }}
{{- if and .Values.spokes .Values.spokesConfigMap }}
{{- fail "spokes and spokesConfigMap: only one of them" }}
{{- end }}
{{- if not (or .Values.spokes .Values.spokesConfigMap) }}
{{- fail "there is no mapping of a department: put some into spokes, or name a ConfigMap with them in spokesConfigMap" }}
{{- end }}
{{- if and .Values.schemas .Values.schemasConfigMap }}
{{- fail "schemas and schemasConfigMap: only one of them" }}
{{- end }}
{{- if and (eq .Values.api.reach "cluster") (not (hasKey .Values.secrets "serve.tokens_file")) (not (dig "oidc" "issuer" "" .Values.settings)) }}
{{- fail "api.reach is cluster, and nobody has a token: make some with `insight-hub token create NAME --role ROLE --set serve.tokens_file=tokens.json`, put the file into a Secret, and name it in secrets, as serve.tokens_file" }}
{{- end }}
{{- if and (eq .Values.api.reach "nobody") (dig "http" "company_values" false .Values.settings) }}
{{- fail "settings.http.company_values come from the view, which is kept for the API: set api.reach to pod or cluster" }}
{{- end }}
{{- end }}

{{/* The ports in host:port pairs, each once. */}}
{{- define "insight-hub.ports" -}}
{{- $ports := list }}
{{- range splitList "," . }}
{{- $ports = append $ports (regexFind ":[0-9]+$" (trim .) | trimPrefix ":") }}
{{- end }}
{{- join "," ($ports | uniq | compact) }}
{{- end }}
