#include "api/ollama/pull_jobs.h"

#include <fmt/format.h>

#include <utility>

#include "api/model_store.h"
#include "api/ollama/errors.h"
#include "api/ollama/writer.h"
#include "base/guarded.h"
#include "service/json.h"

namespace pippin::api::ollama {
namespace {

constexpr size_t kJobsMax = 8;

std::string line_of(const ModelStore::Progress& progress) {
  std::string line;
  service::JsonWriter json(line);
  json.begin_object().field("status", progress.status);
  if (!progress.digest.empty()) json.field("digest", progress.digest);
  if (progress.total != 0)
    json.field("total", progress.total).field("completed", progress.completed);
  json.end_object();
  return line + '\n';
}

void run(ModelStore& store, const std::string& name, bool stream, Exchange& exchange,
         const std::atomic<bool>& gone, const std::function<void()>& note) {
  if (stream) exchange.start_stream({200, kStreamType, {}, {}});
  const Result<void> pulled = guarded("[pull]", [&] {
    Result<void> done = store.pull(name, [&](const ModelStore::Progress& progress) {
      if (stream && !gone) exchange.write(line_of(progress));
      return !gone;
    });
    if (done.ok()) note();
    return done;
  });
  if (!stream) {
    if (!pulled.ok()) return exchange.respond(error_response(pulled.error()));
    return exchange.respond({200, "application/json", R"({"status":"success"})", {}});
  }
  exchange.write(pulled.ok() ? line_of({"success", {}, 0, 0})
                             : error_json(pulled.error().message) + '\n');
  exchange.finish();
}

}  // namespace

PullJobs::~PullJobs() {
  for (Job& job : jobs_) *job.gone = true;
  for (Job& job : jobs_) job.thread.join();
}

void PullJobs::forget_done() {
  for (auto job = jobs_.begin(); job != jobs_.end();) {
    if (!job->done) {
      ++job;
      continue;
    }
    job->thread.join();
    job = jobs_.erase(job);
  }
}

void PullJobs::start(ModelStore& store, std::string name, bool stream,
                     std::shared_ptr<Exchange> exchange, std::function<void()> pulled) {
  const std::lock_guard lock(mutex_);
  forget_done();
  if (jobs_.size() == kJobsMax) {
    return exchange->respond(error_response(
        fail(Code::kOverloaded, fmt::format("{} models are being pulled already", kJobsMax))));
  }
  Job& job = jobs_.emplace_back();
  exchange->on_disconnect([gone = job.gone] { *gone = true; });
  Result<Thread> thread = Thread::start("[pull]", [&store, &job, name = std::move(name), stream,
                                                   exchange, pulled = std::move(pulled)]() mutable {
    // Whatever comes of it, the job's place is free then.
    static_cast<void>(
        guarded("[pull]", [&] { run(store, name, stream, *exchange, *job.gone, pulled); }));
    exchange.reset();
    job.done = true;
  });
  if (thread.ok()) {
    job.thread = *std::move(thread);
    return;
  }
  jobs_.pop_back();
  exchange->respond(error_response(thread.error()));
}

}  // namespace pippin::api::ollama
