// Any body to any route of any API: an answer comes, in JSON or as a stream, with a status that is
// the client's fault or success, and the engine is idle again. The first byte chooses the route.
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/log.h"
#include "wire/harness.h"

namespace {

using pippin::api::Response;
using pippin::api::testing::Harness;

constexpr std::string_view kRoutes[] = {
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/responses/input_tokens",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/messages/batches",
    "/api/chat",
    "/api/generate",
    "/api/create",
    "/api/show",
    "/api/copy",
    "/api/pull",
    "/api/embed",
    "/completion",
    "/infill",
    "/tokenize",
    "/detokenize",
    "/apply-template",
    "/v1/models/load",
    "/v1/models/unload",
};

[[noreturn]] void wrong(std::string_view path, const char* what, const Response& got) {
  std::fprintf(stderr, "%s: %s: %d %s\n%s\n", std::string(path).c_str(), what, got.status,
               got.content_type.c_str(), got.body.substr(0, 2000).c_str());
  std::abort();
}

Harness& harness() {
  static Harness& made = []() -> Harness& {
    spdlog::set_level(spdlog::level::off);
    testing::FLAGS_gtest_break_on_failure = true;
    auto* running = new Harness({.infill = true});  // lives as long as the process
    running->release();
    return *running;
  }();
  return made;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view path = kRoutes[data[0] % std::size(kRoutes)];
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  // "oom" and "fail" are the harness's own faults, not a request's.
  if (body.find("<oom") != std::string::npos || body.find("<fail") != std::string::npos) return 0;
  const Response got = harness().call("POST", std::string(path), body);
  // 500 is a fault of ours; 501 and 503 say what this server cannot do, or not now.
  const bool expected = got.status == 200 || (got.status >= 400 && got.status < 500) ||
                        got.status == 501 || got.status == 503;
  if (!expected) wrong(path, "a status of no request's fault", got);
  if (got.content_type == "application/json" && !got.body.empty()) {
    boost::system::error_code error;
    boost::json::parse(got.body, error);
    if (error) wrong(path, "no JSON", got);
  }
  if (!harness().wait_until_idle()) wrong(path, "the engine holds blocks", got);
  return 0;
}
