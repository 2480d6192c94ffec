"""What no server may be asked for, and the field that each mistake belongs to.

Form, REST options and link parameters are held to this one table.
"""

BAD: list[tuple[str, dict[str, str]]] = [
    ("node_type", {"node_type": "nope"}),
    ("node_type", {"node_type": "../compute"}),
    ("cores", {"cores": "999"}),
    ("cores", {"cores": "0"}),
    ("cores", {"cores": "-1"}),
    ("cores", {"cores": "two"}),
    ("cores", {"cores": "1.5"}),
    ("cores", {"cores": '"><script>window.hit = true</script>'}),
    ("cores", {"node_type": "short", "cores": "4"}),
    ("memory", {"memory": "16"}),
    ("memory", {"memory": "900 GiB"}),
    ("memory", {"memory": "0 GiB"}),
    ("gpus", {"gpus": "1"}),
    ("walltime", {"walltime": "99:00:00"}),
    ("walltime", {"walltime": "1:30"}),
    ("walltime", {"walltime": "00:00:00"}),
    ("walltime", {"walltime": "forever"}),
    ("account", {"account": "climate --uid=0"}),
    ("environment", {"environment": "nope"}),
    ("option.begin", {"option.begin": "tomorrow"}),
    ("option.begin", {"option.begin": "now+1\n#SBATCH --uid=0"}),
    ("option.nope", {"option.nope": "x"}),
    ("profile", {"profile": "nope"}),
    ("working_directory", {"working_directory": "../bob"}),
    ("working_directory", {"working_directory": "~bob"}),
    ("", {"partition": "gpu"}),
    ("", {"req_prologue": "id"}),
]
