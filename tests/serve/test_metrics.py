"""GET /metrics, read by Prometheus' own parser."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from program import wait_until

# vLLM's names, on which dashboards and routers rely, and their types.
EXPECTED = {
    "vllm:num_requests_running": "gauge",
    "vllm:num_requests_waiting": "gauge",
    "vllm:kv_cache_usage_perc": "gauge",
    "vllm:cache_config_info": "gauge",
    "vllm:prefix_cache_queries": "counter",
    "vllm:prefix_cache_hits": "counter",
    "vllm:prompt_tokens": "counter",
    "vllm:generation_tokens": "counter",
    "vllm:num_preemptions": "counter",
    "vllm:request_success": "counter",
    "vllm:time_to_first_token_seconds": "histogram",
    "vllm:inter_token_latency_seconds": "histogram",
    "vllm:request_time_per_output_token_seconds": "histogram",
    "vllm:e2e_request_latency_seconds": "histogram",
    "vllm:request_queue_time_seconds": "histogram",
    "vllm:request_prefill_time_seconds": "histogram",
    "vllm:request_decode_time_seconds": "histogram",
    "vllm:request_prompt_tokens": "histogram",
    "vllm:request_generation_tokens": "histogram",
    "vllm:iteration_tokens_total": "histogram",
    "pippin:build_info": "gauge",
    "pippin:kv_blocks": "gauge",
    "process_resident_memory_bytes": "gauge",
}


def families_of(server):
    status, headers, body = server.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(body.decode()))
    assert len({family.name for family in families}) == len(families), "a family comes twice"
    return {family.name: family for family in families}


def values_of(server):
    """All samples but the buckets, as {(name, finished_reason or state): value}."""
    return {
        (sample.name, sample.labels.get("finished_reason") or sample.labels.get("state")): sample.value
        for family in families_of(server).values()
        for sample in family.samples
        if "le" not in sample.labels
    }


def test_the_names_and_types_are_those_of_vllm(server, client, model):
    client.completions.create(model=model, prompt="Hello", max_tokens=2)
    families = families_of(server)
    assert {name: families[name].type for name in EXPECTED if name in families} == EXPECTED
    for name, family in families.items():
        assert family.documentation, name
        for sample in family.samples:
            if name.startswith("vllm:"):
                assert sample.labels["model_name"] == model


def test_histograms_rise_to_their_count(server, client, model):
    client.completions.create(model=model, prompt="Hello", max_tokens=4)
    for name, family in families_of(server).items():
        if family.type != "histogram":
            continue
        buckets = [(float(s.labels["le"]), s.value) for s in family.samples if s.name.endswith("_bucket")]
        count = [s.value for s in family.samples if s.name.endswith("_count")]
        assert buckets == sorted(buckets), name
        assert buckets[-1] == (float("inf"), count[0]), name
        assert count[0] > 0, name


def test_the_counters_agree_with_the_usage_of_the_answers(server, client, model):
    wait_until(server.is_idle, 10, "idle before the test")
    before = values_of(server)
    usages = [
        client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": f"The metrics test's question {i}, {'more words ' * 20 * i}?"}],
            max_tokens=3 + i,
            extra_body={"ignore_eos": True},
        ).usage
        for i in range(4)
    ]
    after = values_of(server)

    def grown(name, label=None):
        return after[name, label] - before[name, label]

    assert grown("vllm:prompt_tokens_total") == sum(u.prompt_tokens for u in usages)
    assert grown("vllm:generation_tokens_total") == sum(u.completion_tokens for u in usages)
    assert grown("vllm:prefix_cache_queries_total") == sum(u.prompt_tokens for u in usages)
    assert grown("vllm:prefix_cache_hits_total") == sum(u.prompt_tokens_details.cached_tokens for u in usages)
    assert grown("vllm:request_success_total", "length") == 4
    for name in ("time_to_first_token_seconds", "e2e_request_latency_seconds", "request_queue_time_seconds"):
        assert grown(f"vllm:{name}_count") == 4
    assert grown("vllm:inter_token_latency_seconds_count") == sum(u.completion_tokens - 1 for u in usages)
    assert grown("vllm:request_generation_tokens_sum") == sum(u.completion_tokens for u in usages)
    assert 0 < grown("vllm:time_to_first_token_seconds_sum") <= grown("vllm:e2e_request_latency_seconds_sum")


def test_the_gauges_show_work_and_its_end(server, client, model):
    wait_until(server.is_idle, 10, "idle before the test")
    streams = [
        client.completions.create(
            model=model, prompt=f"Tale {i}", max_tokens=1500, stream=True, extra_body={"ignore_eos": True}
        )
        for i in range(2)
    ]
    wait_until(lambda: values_of(server)["vllm:num_requests_running", None] == 2, 20, "two requests run")
    assert 0 < values_of(server)["vllm:kv_cache_usage_perc", None] <= 1
    aborted = values_of(server)["vllm:request_success_total", "abort"]
    for stream in streams:
        stream.close()
    wait_until(server.is_idle, 10, "the streams have ended")
    values = values_of(server)
    assert values["vllm:num_requests_running", None] == 0
    assert values["vllm:kv_cache_usage_perc", None] == 0
    assert values["vllm:request_success_total", "abort"] == aborted + 2


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_metrics_are_read_only(server, method):
    assert server.request(method, "/metrics")[0] == 405
