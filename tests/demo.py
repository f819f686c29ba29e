"""`make demo`: the product on loopback emulators of the providers, with a little sample data."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import httpx

from tests.fakes import samples
from tests.fakes.server import FakeServers
from tests.product import ROOT, Product

MODELS = {
    "gemini-3.5-flash": ("gemini", "gemini/gemini-3.5-flash"),
    "gemini-2.5-pro": ("gemini", "gemini/gemini-2.5-pro"),
    "gpt-5.4": ("openai", "openai/gpt-5.4"),
    "vertex-gemini-2.5-flash": ("vertex", "vertex_ai/gemini-2.5-flash"),
    "azure-gpt-5.4": ("azure", "azure/gpt-5.4"),
}

# An imported account is named after its address, which says nothing here but a port.
SHORT_NAMES = """
from portal.models import ProviderAccount, Revision
for account in ProviderAccount.objects.all():
    account.name = account.name.partition(" (")[0]
    account.save()
Revision.advance()
"""


def config(fakes: FakeServers) -> str:
    """A config.yaml (JSON is YAML) that points at the emulators."""
    accounts: dict[str, dict[str, object]] = {
        "gemini": {"api_base": fakes.gemini_url, "api_key": "AIza-demo-0123456789abcdef"},
        "openai": {"api_base": fakes.openai_url, "api_key": "sk-fake-demo-0123456789abcdef"},
        "azure": {"api_base": fakes.azure_url, "api_key": "az-fake-demo-0123456789abcdef"},
        "vertex": {
            "api_base": fakes.vertex_url,
            "vertex_credentials": fakes.vertex.service_account("demo"),
            "gcs_bucket_name": "demo-files",
        },
    }
    entries = [
        {
            "model_name": name,
            "litellm_params": {
                "model": model,
                **accounts[provider],
                "input_cost_per_token": 0.0000003,
                "output_cost_per_token": 0.0000025,
            },
        }
        for name, (provider, model) in MODELS.items()
    ]
    return json.dumps({"model_list": entries}, indent=2)


def add_samples(url: str, key: str) -> None:
    """Three files and a few calls, so that no page is empty."""
    with httpx.Client(
        base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=60, trust_env=False
    ) as client:
        files = []
        for name, data in (
            ("quarterly-report.pdf", samples.pdf()),
            ("floor-plan.png", samples.png()),
            ("visitors.csv", samples.csv()),
        ):
            answer = client.post(
                "/v1/files",
                data={"purpose": "user_data", "target_model_names": ", ".join(MODELS)},
                files={"file": (name, data)},
            )
            answer.raise_for_status()
            files.append(answer.json()["id"])
        for model in MODELS:
            for file_id in files:
                parts = [
                    {"type": "text", "text": "What is this?"},
                    {"type": "file", "file": {"file_id": file_id}},
                ]
                client.post(
                    "/v1/chat/completions",
                    json={"model": model, "messages": [{"role": "user", "content": parts}]},
                ).raise_for_status()
        client.post("/v1/chat/completions", json={"model": "gpt-0", "messages": []})


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    # SIGTERM is a Ctrl-C from the first moment, so that whatever was started by then is stopped.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    data_dir = Path(os.environ.get("PORTICO_DATA_DIR", ROOT / "data")) / "demo"
    shutil.rmtree(data_dir, ignore_errors=True)
    data_dir.mkdir(parents=True)
    with FakeServers(process=True) as fakes:
        path = data_dir / "config.yaml"
        path.write_text(config(fakes))
        product = Product(
            data_dir,
            config=path,
            workers=options.workers,
            port=options.port,
            host=options.host,
            environment={"STORAGE_EMULATOR_HOST": fakes.vertex_url},
        )
        with product:
            product.manage("shell", "--command", SHORT_NAMES)
            key = product.create_key("demo")
            add_samples(product.url, key)
            for line in product.lines:
                print(line)
            print(f"A key to try it with: {key}")
            print(f"Log: {product.log_path}", flush=True)
            _wait_for_the_end(product)
    return 0


def _wait_for_the_end(product: Product) -> None:
    """Until the product ends, Ctrl-C or SIGTERM."""
    try:
        product.wait()
    except KeyboardInterrupt:
        print("Stopping …", flush=True)


if __name__ == "__main__":
    sys.exit(main())
