#include "app/answer.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>

#include "app/interrupts.h"
#include "service/chat/generation.h"
#include "service/models/model_pool.h"

namespace pippin::app {
namespace {

using Seconds = std::chrono::duration<double>;

/// An event that the device thread sets. Shared, since a call of its callback may outlast the
/// generation.
class Wakeup {
 public:
  void notify() {
    const std::lock_guard lock(mutex_);
    notified_ = true;
    changed_.notify_one();
  }
  /// Returns once notified, or after a while, so that interrupts are seen.
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::milliseconds(50), [this] { return notified_; });
    notified_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool notified_ = false;
};

}  // namespace

Result<Answer> stream_answer(service::ModelPool& models, service::Request request,
                             const std::function<bool(Voice, std::string_view)>& show) {
  const TimePoint start = std::chrono::steady_clock::now();
  ASSIGN_OR_RETURN(service::ModelLease lease, models.lease("default"));
  ASSIGN_OR_RETURN(std::unique_ptr<service::Generation> generation,
                   service::Generation::start(std::move(lease), std::move(request), nullptr));
  const auto wakeup = std::make_shared<Wakeup>();
  generation->set_notify([wakeup] { wakeup->notify(); });

  Answer answer;
  TimePoint first = start;
  Error error;
  bool cancelled = false;
  std::vector<service::Delta> deltas;
  while (!generation->finished()) {
    deltas.clear();
    generation->poll(deltas);
    bool read = true;
    for (const service::Delta& delta : deltas) {
      if (const auto* text = std::get_if<service::TextDelta>(&delta.body)) {
        if (first == start) first = std::chrono::steady_clock::now();
        answer.text += text->text;
        if (!cancelled && !text->text.empty()) read = read && show(Voice::kAnswer, text->text);
      } else if (const auto* thought = std::get_if<service::ReasoningDelta>(&delta.body)) {
        if (first == start) first = std::chrono::steady_clock::now();
        if (!cancelled && !thought->text.empty())
          read = read && show(Voice::kThinking, thought->text);
      } else if (const auto* finish = std::get_if<service::Finish>(&delta.body)) {
        answer.reason = finish->reason;
        error = finish->error;
      }
    }
    if (generation->finished()) break;
    if (!cancelled && (Interrupts::pending() || !read)) {
      cancelled = true;
      generation->cancel();
    }
    wakeup->wait();
  }
  answer.usage = generation->usage();
  answer.first_token_s = Seconds(first - start).count();
  answer.decode_s = Seconds(std::chrono::steady_clock::now() - first).count();
  if (answer.reason == service::FinishReason::kError) return error;
  return answer;
}

}  // namespace pippin::app
