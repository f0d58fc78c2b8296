#include "engine/exec/grammar_mask_prefetch.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

namespace pippin::engine {

// Shared with the job under way, which may outlast its sequence.
struct GrammarMaskPrefetch::State {
  State(std::shared_ptr<Constraint> constraint_in, bool take_jump_forward_in)
      : constraint(std::move(constraint_in)), take_jump_forward(take_jump_forward_in) {}

  const std::shared_ptr<Constraint> constraint;
  const bool take_jump_forward;

  std::mutex mutex;
  std::condition_variable changed;
  bool at_work = false;  // guarded by mutex; while it is true, the rest is the job's
  Outlook outlook;
  std::vector<uint32_t> mask;
  std::optional<Error> error;

  void look_ahead(const std::vector<Token>& tokens) {
    outlook = {};
    Result<void> accepted = constraint->accept(tokens);
    if (accepted.ok() && take_jump_forward && !constraint->complete()) {
      outlook.jump_forward = constraint->jump_forward();
      accepted = constraint->accept(outlook.jump_forward);
    }
    if (!accepted.ok()) {
      error = accepted.error();
      outlook = {};
      return;
    }
    outlook.complete = constraint->complete();
  }

  void fill_mask() {
    if (error) return;
    if (const Result<void> filled = constraint->fill_mask(mask); !filled.ok())
      error = filled.error();
  }

  void rest() {
    {
      const std::lock_guard lock(mutex);
      at_work = false;
    }
    changed.notify_all();
  }

  void wait() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return !at_work; });
  }
};

GrammarMaskPrefetch::GrammarMaskPrefetch(std::shared_ptr<Constraint> constraint,
                                         bool take_jump_forward, WorkerPool& workers)
    : state_(std::make_shared<State>(std::move(constraint), take_jump_forward)), workers_(workers) {
  post([](State& state) {
    state.look_ahead({});
    state.fill_mask();
  });
}

void GrammarMaskPrefetch::post(void (*work)(State& state)) {
  state_->at_work = true;
  const auto job = [state = state_, work] {
    work(*state);
    state->rest();
  };
  // A full queue only costs time: the work is then done here.
  if (!workers_.post(job)) job();
}

// The step needs the jump-forward tokens before it ends. In the workers' queue they would wait
// behind the masks of other rows; here they take microseconds.
GrammarMaskPrefetch::Outlook GrammarMaskPrefetch::advance(Token token) {
  state_->wait();
  state_->look_ahead({token});
  Outlook outlook = std::exchange(state_->outlook, {});
  post([](State& state) { state.fill_mask(); });
  return outlook;
}

GrammarMaskPrefetch::Outlook GrammarMaskPrefetch::take_start() {
  state_->wait();
  return std::exchange(state_->outlook, {});
}

Result<const std::vector<uint32_t>*> GrammarMaskPrefetch::mask() {
  state_->wait();
  if (state_->error) return *state_->error;
  return static_cast<const std::vector<uint32_t>*>(&state_->mask);
}

}  // namespace pippin::engine
