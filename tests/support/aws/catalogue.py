"""A small catalogue of offers over HTTP, laid out as a dstack server's library of offers reads it (GPUHUNT_CATALOG_URL).

catalogue.py ADDRESS PORT
"""

import csv
import http.server
import io
import sys
import zipfile

COLUMNS = ("instance_name location price cpu memory gpu_count gpu_name gpu_memory spot disk_size gpu_vendor flags cpu_arch provider_data").split()
PROVIDERS = "aws azure verda gcp lambdalabs nebius oci runpod cloudrift".split()
VERSION = "20261101"

# name, CPUs, GiB of memory, GPUs, the GPU's name, GiB of its memory, dollars an hour on demand
TYPES = [
    ("c5.large", 2, 4, 0, "", "", 0.085),
    ("c5.xlarge", 4, 8, 0, "", "", 0.17),
    ("m5.large", 2, 8, 0, "", "", 0.096),
    ("m5.2xlarge", 8, 32, 0, "", "", 0.384),
    ("c5.9xlarge", 36, 72, 0, "", "", 1.53),
    ("c5.18xlarge", 72, 144, 0, "", "", 3.06),
    ("g5.xlarge", 4, 16, 1, "A10G", 24, 1.006),
    ("g5.12xlarge", 48, 192, 4, "A10G", 24, 5.672),
    ("g5.48xlarge", 192, 768, 8, "A10G", 24, 16.288),
]
REGIONS = ["us-west-2", "eu-central-1"]
NOT_ON_THE_SPOT_MARKET = {"c5.xlarge"}


def rows():
    for name, cpus, memory, gpus, gpu, gpu_memory, price in TYPES:
        for region in REGIONS:
            for spot in (False, True):
                if spot and name in NOT_ON_THE_SPOT_MARKET:
                    continue
                yield dict(
                    zip(
                        COLUMNS,
                        (
                            name,
                            region,
                            round(price * (0.3 if spot else 1), 4),
                            cpus,
                            float(memory),
                            gpus,
                            gpu,
                            gpu_memory,
                            spot,
                            "",
                            "nvidia" if gpus else "",
                            "",
                            "x86",
                            "{}",
                        ),
                        strict=True,
                    )
                )


def archive(provider: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=COLUMNS)
    writer.writeheader()
    if provider == "aws":
        writer.writerows(rows())
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr(f"{provider}.csv", text.getvalue())
    return data.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        provider, *rest = self.path.strip("/").split("/")
        body = None
        if provider in PROVIDERS and rest == ["version"]:
            body = VERSION.encode()
        elif provider in PROVIDERS and rest == [VERSION, "catalog.zip"]:
            body = archive(provider)
        self.send_response(404 if body is None else 200)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
