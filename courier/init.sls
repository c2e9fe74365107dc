{#- What pillar `courier:` names; without pillar, every repair that needs neither `allow` nor a choice. -#}
{%- from "courier/map.jinja" import courier, problem with context %}

courier is free of known problems:
{%- if problem.text %}
  test.fail_without_changes:
    - comment: {{ problem.text | tojson }}
{%- else %}
  courier.fixed:
    - issues: {{ courier.issues | tojson }}
    - allow: {{ courier.allow | tojson }}
    - options: {{ courier.options | tojson }}
{%-   if courier.audit_severity %}

courier audit:
  courier.audited:
    - severity: {{ courier.audit_severity | tojson }}
    - require:
      - courier: courier is free of known problems
{%-   endif %}
{%- endif %}
