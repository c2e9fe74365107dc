{#- A known problem has spoken in the mail log of a minion: say what the formula would repair there. -#}
{#- The event courier/unknown, which says that a log cannot be read, names no issue. -#}
{%- if data.issue is defined %}
say what would be repaired:
  local.state.apply:
    - tgt: {{ [data.id] | tojson }}
    # Not a glob: a minion chooses what stands in its event.
    - tgt_type: list
    - args:
      - mods: courier
      - test: True
      # One line can be that of several issues: one event each.
      - queue: True
{%- endif %}
