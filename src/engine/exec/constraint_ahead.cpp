#include "engine/exec/constraint_ahead.h"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

namespace pippin::engine {

// Shared with the job under way, which may outlast its sequence.
struct ConstraintAhead::State {
  State(std::shared_ptr<Constraint> constraint_in, bool take_forced_in)
      : constraint(std::move(constraint_in)), take_forced(take_forced_in) {}

  const std::shared_ptr<Constraint> constraint;
  const bool take_forced;

  std::mutex mutex;
  std::condition_variable changed;
  bool has_outlook = false;  // guarded by mutex, as is has_mask; the rest is the job's until set
  bool has_mask = false;
  Outlook outlook;
  std::vector<uint32_t> mask;
  std::optional<Error> error;

  void work(const std::vector<Token>& tokens) {
    look_ahead(tokens);
    publish(has_outlook);
    if (!error) {
      if (const Result<void> filled = constraint->fill_mask(mask); !filled.ok())
        error = filled.error();
    }
    publish(has_mask);
  }

  void look_ahead(const std::vector<Token>& tokens) {
    outlook = {};
    Result<void> accepted = constraint->accept(tokens);
    if (accepted.ok() && take_forced && !constraint->complete()) {
      outlook.forced = constraint->forced();
      accepted = constraint->accept(outlook.forced);
    }
    if (!accepted.ok()) {
      error = accepted.error();
      outlook = {};
      return;
    }
    outlook.complete = constraint->complete();
  }

  void publish(bool& flag) {
    {
      const std::lock_guard lock(mutex);
      flag = true;
    }
    changed.notify_all();
  }

  void wait(const bool& flag) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&flag] { return flag; });
  }
};

ConstraintAhead::ConstraintAhead(std::shared_ptr<Constraint> constraint, bool take_forced,
                                 WorkerPool& workers)
    : state_(std::make_shared<State>(std::move(constraint), take_forced)), workers_(workers) {
  post({});
}

void ConstraintAhead::post(std::vector<Token> tokens) {
  state_->has_outlook = state_->has_mask = false;
  // A full queue only costs time: the work is then done here.
  if (!workers_.post([state = state_, tokens] { state->work(tokens); })) state_->work(tokens);
}

void ConstraintAhead::advance(Token token) {
  state_->wait(state_->has_mask);
  post({token});
}

ConstraintAhead::Outlook ConstraintAhead::take_outlook() {
  state_->wait(state_->has_outlook);
  return std::exchange(state_->outlook, {});
}

Result<const std::vector<uint32_t>*> ConstraintAhead::mask() {
  state_->wait(state_->has_mask);
  if (state_->error) return *state_->error;
  return static_cast<const std::vector<uint32_t>*>(&state_->mask);
}

}  // namespace pippin::engine
