// The monitor of a served model whose device is wrong with concurrent requests: what it says,
// counts and does.
#include "app/loading.h"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <chrono>
#include <sstream>
#include <thread>

#include "api/context.h"
#include "api/routes.h"
#include "api/routes/harness.h"
#include "engine/biased_runner.h"
#include "service/models/model_pool.h"
#include "text/small_vocabulary.h"

namespace pippin::app {
namespace {

using engine::testing::BiasedRunner;

/// What the process logs while this lives.
class Logged {
 public:
  Logged() : before_(spdlog::default_logger()) {
    auto logger = std::make_shared<spdlog::logger>(
        "test", std::make_shared<spdlog::sinks::ostream_sink_mt>(text_));
    spdlog::set_default_logger(std::move(logger));
  }
  ~Logged() { spdlog::set_default_logger(before_); }
  /// Requires: nothing logs any more.
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::shared_ptr<spdlog::logger> before_;
};

struct Told {
  std::string log, metrics;
};

/// Serves a model that is wrong with concurrent requests, monitored, until /metrics has `row`.
Told watch_until(const std::string& action, const std::string& row) {
  Logged logged;
  auto model = std::make_unique<service::Model>();
  model->id = "wrong";
  model->tokenizer = text::small_tokenizer({});
  model->context_tokens_max = 4096;
  engine::EngineOptions options;
  options.context_tokens_max = 4096;
  options.kv = KvPlan::full(2048);
  model->engine = engine::Engine::start(options, []() -> Result<std::unique_ptr<engine::Runner>> {
                    return std::unique_ptr<engine::Runner>(std::make_unique<BiasedRunner>(
                        [](const engine::StepPlan& plan, const engine::PlanRow&) {
                          // Long enough for the others to come while the first one is answered.
                          std::this_thread::sleep_for(std::chrono::milliseconds(1));
                          return plan.rows.size() > 1;
                        }));
                  }).value();
  Settings settings;
  settings.divergence_monitor_s = 1;
  settings.divergence_action = action;
  auto monitor = start_monitor(settings, *model).value();
  service::ModelPool models;
  models.add(std::move(model));
  service::Readiness readiness;
  WorkerPool workers(1, 8);
  const api::Context context{models, readiness, workers};
  const api::Handler metrics = api::metrics(context);
  std::string text;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (text.find(row) == std::string::npos && std::chrono::steady_clock::now() < end) {
    const auto exchange = std::make_shared<api::testing::FakeExchange>(api::Request{});
    metrics(exchange);
    text = exchange->sent().body;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  monitor.reset();
  return {logged.text(), text};
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Monitor, WarnsAndLeavesTheEngineAsItIs) {
  const Told told = watch_until("warn", "divergence_answers_total{model_name=\"wrong\"} 4");
  EXPECT_TRUE(has(told.metrics, "divergence_answers_total{model_name=\"wrong\"} 4"))
      << told.metrics;
  EXPECT_FALSE(has(told.metrics, "divergence_exact_total{model_name=\"wrong\"} 4")) << told.metrics;
  EXPECT_TRUE(has(told.metrics, "pippin:serial{model_name=\"wrong\"} 0"));
  EXPECT_TRUE(has(told.log, "of 4 answers differ from those of exclusive steps")) << told.log;
  EXPECT_FALSE(has(told.log, "one row"));
}

TEST(Monitor, SerialisesWhereAskedFor) {
  const Told told = watch_until("serialise", "pippin:serial{model_name=\"wrong\"} 1");
  EXPECT_TRUE(has(told.metrics, "pippin:serial{model_name=\"wrong\"} 1")) << told.metrics;
  EXPECT_TRUE(has(told.log, "from now on every step runs one row")) << told.log;
}

}  // namespace
}  // namespace pippin::app
