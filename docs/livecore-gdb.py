# Names the threads of a core that livecore wrote: gdb itself looks for no thread names in cores of Linux.
#
#   gdb -x livecore-gdb.py -c core.4711 /path/to/program
#
# The names stand in the note of owner `livecore`, the last in the file; docs/elf-core.md describes it.
import json
import mmap
import re
import struct

import gdb

OWNER = b"livecore\0\0\0\0"


def core_path():
    match = re.search(r"core dump file:\s+`(.*)', file type", gdb.execute("info files", to_string=True))
    return match and match.group(1)


def thread_names(path):
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        owner = data.rfind(OWNER)
        if owner < 0:
            return {}
        version, size = struct.unpack_from("<II", data, owner + len(OWNER))
        if version != 1:
            return {}
        start = owner + len(OWNER) + 8
        return dict(json.loads(data[start : start + size])["threads"])


def printable(name):
    return "".join(c if c.isprintable() else "\\x%02x" % ord(c) for c in name)


path = core_path()
names = thread_names(path) if path else {}
for thread in gdb.selected_inferior().threads():
    if thread.ptid[1] in names:
        thread.name = printable(names[thread.ptid[1]])
