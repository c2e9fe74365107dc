{#- What pillar `courier:` names; without pillar, every repair that needs neither `allow` nor a choice. -#}
{%- from "courier/map.jinja" import courier with context %}

courier is free of known problems:
  courier.fixed:
    - issues: {{ courier.issues | tojson }}
    {%- if courier.allow %}
    - allow: {{ courier.allow | tojson }}
    {%- endif %}
    {%- for option, value in courier.options | dictsort %}
    - {{ option }}: {{ value | tojson }}
    {%- endfor %}
{%- if courier.audit_severity %}

courier audit:
  courier.audited:
    - severity: {{ courier.audit_severity }}
    - require:
      - courier: courier is free of known problems
{%- endif %}
