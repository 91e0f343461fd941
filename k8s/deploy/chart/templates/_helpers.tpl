{{- define "underlayd.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end -}}

{{- /* Nine tenths of the memory limit, of which the schema says that it is in Mi or Gi. */ -}}
{{- define "underlayd.collectorLimit" -}}
{{- $n := regexFind "^[0-9]+" .Values.memoryLimit | int64 -}}
{{- if hasSuffix "Gi" .Values.memoryLimit -}}{{- $n = mul $n 1024 -}}{{- end -}}
{{- printf "%dMiB" (div (mul $n 9) 10) -}}
{{- end -}}
