// PullJobs: pulls under way, each on a thread of its own, since they take minutes and wait for the
// network. Owner: the handler. Thread: any.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>

#include "api/exchange.h"
#include "api/model_store.h"
#include "base/thread.h"

namespace pippin::api::ollama {

class PullJobs {
 public:
  PullJobs() = default;
  ~PullJobs();  // ends what runs
  PullJobs(const PullJobs&) = delete;
  PullJobs& operator=(const PullJobs&) = delete;

  /// Pulls and answers: with a line for each progress, or once at the end. A client that leaves
  /// ends its pull. Answers with an error if there are too many.
  /// `pulled` is called once the model is there, before the answer ends.
  void start(ModelStore& store, std::string name, bool stream, std::shared_ptr<Exchange> exchange,
             std::function<void()> pulled);

 private:
  struct Job {
    std::shared_ptr<std::atomic<bool>> gone = std::make_shared<std::atomic<bool>>(false);
    std::atomic<bool> done{false};
    Thread thread;
  };

  void forget_done();

  std::mutex mutex_;
  std::list<Job> jobs_;
};

}  // namespace pippin::api::ollama
