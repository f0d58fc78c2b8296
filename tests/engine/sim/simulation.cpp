#include "engine/sim/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "engine/core/direct_run.h"

namespace pippin::engine {

namespace testing {
namespace {

constexpr int kHistoriesMax = 8;
constexpr Duration kTick = std::chrono::milliseconds(10);

bool is_prefix(const std::vector<Token>& prefix, const std::vector<Token>& whole) {
  return prefix.size() <= whole.size() && std::equal(prefix.begin(), prefix.end(), whole.begin());
}

/// Guesses what a sequence's answer will be, sometimes wrongly.
class FakeDrafter final : public Drafter {
 public:
  FakeDrafter(int prompt, uint64_t seed) : prompt_(prompt), random_(seed) {}

  std::vector<Token> propose(std::span<const Token> tokens, int at_most) override {
    std::vector<Token> drafts;
    const size_t given = tokens.size() - static_cast<size_t>(prompt_);
    for (size_t i = given; i < answer.size() && static_cast<int>(drafts.size()) < at_most; ++i) {
      const bool right = std::uniform_int_distribution(0, 3)(random_) != 0;
      drafts.push_back(right ? answer[i] : answer[i] + 1);
    }
    return drafts;
  }

  std::vector<Token> answer;

 private:
  int prompt_;
  std::mt19937_64 random_;
};

bool has_last_event(const std::deque<Event>& queue) {
  return !queue.empty() && std::holds_alternative<FinishEvent>(queue.back());
}

}  // namespace

Simulation::Simulation(uint64_t seed, int requests, Plant plant)
    : random_(seed),
      options_(random_options(seed, random_)),
      requests_left_(requests),
      steps_max_(2000 + 200 * requests),
      arrivals_(0.02 * (1 << between(0, 5))),
      row_failures_(chance(0.3) ? 0.002 : 0),
      async_(chance(0.5) ? 0.8 : 0),
      exclusive_(chance(0.2) ? 0.3 : 0),
      drafts_(chance(0.4) ? 0.5 : 0),
      media_(chance(0.3) ? 0.4 : 0),
      grids_(chance(0.3) ? 0.4 : 0),
      constrained_(chance(0.4) ? 0.3 : 0),
      resizes_(chance(0.2) ? 0.2 : 0),
      turns_deterministic_(chance(0.05) ? 0.01 : 0),
      deterministic_(options_.deterministic),
      events_max_(between(1, 12)),
      scheduler_(options_),
      runner_(options_),
      plant_(plant) {
  for (int i = 0; i < 4; ++i) {
    histories_.emplace_back();
    for (int n = between(1, 120); n > 0; --n) histories_.back().push_back(between(0, 5));
  }
  sabotage();
  runner_.fails = [this](const PlanRow& row) {
    if (row_failures_ == 0 || !chance(row_failures_)) return false;
    return clients_.at(row.sequence)->failed = true;
  };
}

/// Returns the tokens of the shortest row that goes on from `computed`.
int Simulation::least_tokens(const Submission& submission, int computed) const {
  if (options_.kv.groups.empty()) return static_cast<int>(submission.tokens.size()) - computed;
  for (const MediaSpan& media : submission.media) {
    const int end = media.begin + media.count;
    if (media.both_ways && media.begin < computed + 1 && computed + 1 < end) return end - computed;
  }
  return 1;
}

bool Simulation::is_exclusive(const Client& client, int computed) const {
  const int rows = std::min(options_.rows_max, options_.step_tokens_max);
  return deterministic_ || client.submission.exclusive ||
         least_tokens(client.submission, computed) > std::max(1, options_.step_tokens_max - rows);
}

void Simulation::broken(std::string what) {
  if (broken_.empty()) broken_ = fmt::format("step {}: {}", tally_.steps, what);
}

std::string Simulation::run() {
  while (broken_.empty() &&
         (requests_left_ > 0 || !clients_.empty() || !under_way_.empty() || runner_.states() > 0)) {
    arrive();
    act();
    step();
    if (static_cast<int>(tally_.steps) > steps_max_) {
      broken(fmt::format("{} sequences have not ended, first {}", clients_.size(),
                         clients_.empty() ? 0 : clients_.begin()->first.value));
    }
  }
  const SchedulerStatus status = scheduler_.status();
  for (const KvGroupStatus& group : status.kv) {
    if (group.blocks.leased != 0)
      broken(fmt::format("{} {} blocks are leaked", group.blocks.leased, kv_kind_name(group.kind)));
  }
  if (runner_.states() != 0)
    broken(fmt::format("{} states are left with the runner", runner_.states()));
  tally_.preemptions = status.preemptions;
  tally_.drafted = status.drafted;
  tally_.accepted = status.accepted;
  tally_.encoded = runner_.encoded();
  return broken_;
}

void Simulation::arrive() {
  if (!chance(arrivals_)) return;
  for (int burst = chance(0.1) ? between(5, 20) : between(1, 2); burst > 0 && requests_left_ > 0;
       --burst) {
    if (arrive_one()) --requests_left_;
  }
}

/// Returns: whether the request was taken.
bool Simulation::arrive_one() {
  auto client = std::make_unique<Client>();
  client->id = SequenceId{++ids_};
  client->submission = random_submission();
  const Submission& submission = client->submission;
  const int prompt = static_cast<int>(submission.tokens.size());
  const int positions_max = static_cast<int>(options_.positions_max());
  const bool pools = submission.pooling != Pooling::kNone;
  bool can_fit = prompt > 0 && (pools ? prompt <= positions_max : prompt < positions_max);
  can_fit &= pools || submission.stop.max_tokens > 0;
  can_fit &= !options_.kv.groups.empty() || prompt <= options_.step_tokens_max;
  for (const MediaSpan& media : submission.media)
    can_fit &= !media.both_ways || media.count <= options_.step_tokens_max;
  const bool full = scheduler_.status().queued >= options_.queue_max;
  std::shared_ptr<FakeDrafter> drafter;
  if (chance(drafts_)) {
    drafter = std::make_shared<FakeDrafter>(prompt, random_());
    client->submission.drafter = drafter;
  }
  const Result<void> submitted = scheduler_.submit(client->id, submission);
  if (submitted.ok() && plant_ == Plant::kCutSpan) forget_spans(client->id);
  if (submitted.ok() != (can_fit && !full)) {
    broken(fmt::format("a prompt of {} tokens is {}", prompt,
                       submitted.ok() ? "taken" : submitted.error().message));
  }
  if (!submitted.ok()) {
    ++tally_.refused;
    return false;
  }
  client->tokens_max = std::min(submission.stop.max_tokens, positions_max - prompt);
  client->expected = fake_answer(submission, client->tokens_max);
  if (drafter != nullptr) drafter->answer = client->expected;
  client->reads = chance(0.15) ? 0.1 : chance(0.02) ? 0 : 1;
  if (chance(0.1)) client->cancels_at_step = static_cast<int>(tally_.steps) + between(0, 40);
  if (chance(0.5)) client->cancels_with = FinishReason::kStop;
  clients_.emplace(client->id, std::move(client));
  return true;
}

void Simulation::act() {
  for (auto it = clients_.begin(); it != clients_.end();) {
    Client& client = *it->second;
    if (has_last_event(client.queue) || chance(client.reads)) read_all(client);
    if (client.cancels_at_step >= 0 && static_cast<int>(tally_.steps) >= client.cancels_at_step &&
        !client.ended) {
      client.cancelled = true;
      scheduler_.cancel(client.id, client.cancels_with);
    }
    it = client.ended ? clients_.erase(it) : std::next(it);
  }
}

void Simulation::step() {
  ++tally_.steps;
  if (under_way_.empty()) {
    if (chance(turns_deterministic_)) {
      scheduler_.make_deterministic();
      if (!deterministic_) steps_without_row_.clear();  // another order holds from here on
      deterministic_ = true;
    }
    if (chance(resizes_)) resize();
    planned_at_ = clock_.now();
    under_way_.push_back({scheduler_.next(planned_at_), {}});
    plant(under_way_.back().plan);
    check_plan(under_way_.back().plan);
    run(under_way_.back());
  }
  if (chance(async_)) {
    if (auto next = scheduler_.next_async(under_way_.front().plan, clock_.now())) {
      planned_at_ = clock_.now();
      ++tally_.async_steps;
      if (next->rows.size() != under_way_.front().plan.rows.size())
        broken("an asynchronous plan lacks rows");
      under_way_.push_back({*std::move(next), {}});
      run(under_way_.back());
    }
  }
  clock_.advance(kTick * between(1, 2));
  Step first = std::move(under_way_.front());
  under_way_.pop_front();
  note_rollbacks(first);
  for (SequenceEvent& event : scheduler_.commit(first.plan, std::move(first.output), clock_.now()))
    deliver(event);
  check_after(under_way_.empty() ? planned_at_ : TimePoint::min());
  if (under_way_.empty()) starve();
}

void Simulation::resize() {
  std::vector<int> blocks;
  for (const KvGroupPlan& group : options_.kv.groups)
    blocks.push_back(between(std::max(1, group.blocks / 2), group.blocks));
  const std::vector<KvGroupStatus> before = scheduler_.status().kv;
  const bool resized = scheduler_.resize(blocks);
  if (resized) ++tally_.resized;
  const std::vector<KvGroupStatus> after = scheduler_.status().kv;
  for (size_t i = 0; i < blocks.size(); ++i)
    if (after[i].blocks.total != (resized ? blocks[i] : before[i].blocks.total))
      broken("a KV group has another size than it was given");
}

void Simulation::run(Step& step) {
  const StepPlan& plan = step.plan;
  if (!plan.runs()) return;
  for (const SequenceId id : plan.admitted) runner_.admit(id, scheduler_.submission(id));
  step.output = runner_.run(plan);
  if (!runner_.faults().empty()) broken(runner_.faults().front());
}

void Simulation::check_plan(const StepPlan& plan) {
  tally_.copies += plan.copies.size();
  see_cut_spans(plan);
  for (const BlockCopy& copy : plan.copies) tally_.state_copies += copy.positions == 0;
  tally_.tokens += static_cast<uint64_t>(plan.tokens());
  if (plan.tokens() > options_.step_tokens_max) broken("the plan is over the token budget");
  if (static_cast<int>(plan.rows.size()) > options_.rows_max) broken("the plan has too many rows");
  std::map<SequenceId, const PlanRow*> rows;
  for (const PlanRow& row : plan.rows) {
    if (!rows.emplace(row.sequence, &row).second) broken("a sequence has two rows");
    tally_.plans_hash =
        mix(tally_.plans_hash ^ mix(row.sequence.value << 32 | static_cast<uint32_t>(row.start)));
    tally_.spans += row.spans.size();
    for (const BlockTable& table : row.kv) {
      tally_.plans_hash = mix(tally_.plans_hash ^ static_cast<uint64_t>(table.back()));
      if (std::ranges::find(table, -1) != table.end()) ++tally_.cut_tables;
    }
  }
  const auto is_exclusive_at = [&](SequenceId id, int computed) {
    return is_exclusive(*clients_.at(id), computed);
  };
  for (const PlanRow& row : plan.rows) {
    if (is_exclusive_at(row.sequence, row.start) && plan.rows.size() > 1)
      broken("an exclusive row shares its step");
  }
  const bool step_is_exclusive =
      plan.rows.size() == 1 && is_exclusive_at(plan.rows[0].sequence, plan.rows[0].start);
  // Whoever only decodes moves in every step, and so does the one whose turn is first; where steps
  // are not shared, everybody moves in turn.
  const std::vector<SequenceStatus> statuses = scheduler_.sequences();
  const SequenceStatus* first = nullptr;  // ids are in order of arrival
  bool could_run = false;
  for (const SequenceStatus& status : statuses) {
    const bool runs = rows.contains(status.id);
    Client& client = *clients_.at(status.id);
    client.preempted |= status.preemptions > 0;
    if (!client.was_full) could_run = true;
    if (status.phase != Phase::kActive) {
      if (runs) broken("a sequence runs that is not active");
      steps_without_row_.erase(status.id);
      continue;
    }
    const auto before = active_before_.find(status.id);
    const bool stayed = before != active_before_.end() && before->second == status.preemptions;
    // Who was preempted, and admitted again in this very plan, waits anew.
    int& without_row = steps_without_row_[status.id];
    without_row = runs || !stayed ? 0 : without_row + 1;
    if (is_exclusive_at(status.id, status.computed_tokens)) {
      if (without_row > 2 * options_.rows_max) {
        broken(fmt::format("sequence {} waits for its turn for ever", status.id.value));
      }
      continue;
    }
    if (first == nullptr || status.priority > first->priority) first = &status;
    const int remaining = status.prompt_tokens + status.generated_tokens - status.computed_tokens;
    if (remaining == 1 && stayed && !runs && (!step_is_exclusive || last_was_exclusive_)) {
      broken(fmt::format("sequence {} decodes and has no row", status.id.value));
    }
  }
  if (first != nullptr && !step_is_exclusive && !rows.contains(first->id)) {
    broken("the sequence whose turn it is has no row");
  }
  last_was_exclusive_ = step_is_exclusive;
  if (could_run && plan.rows.empty()) broken("somebody could run and nobody does");
}

void Simulation::check_after(TimePoint planned_at) {
  if (const Result<void> sound = scheduler_.check_integrity(); !sound.ok())
    broken(sound.error().message);
  size_t live = 0;
  for (const auto& [id, client] : clients_) {
    if (has_last_event(client->queue)) continue;
    ++live;
    const auto& deadline = client->submission.deadline;
    if (deadline && *deadline <= planned_at) broken("a deadline is missed");
  }
  const std::vector<SequenceStatus> statuses = scheduler_.sequences();
  if (live != statuses.size()) {
    broken(fmt::format("{} streams are open, {} sequences live", live, statuses.size()));
  }
  active_before_.clear();
  for (const SequenceStatus& status : statuses) {
    if (status.phase == Phase::kActive) active_before_.emplace(status.id, status.preemptions);
  }
}

void Simulation::deliver(SequenceEvent& event) {
  const auto found = clients_.find(event.sequence);
  if (found == clients_.end()) {
    broken(fmt::format("an event after the last one of sequence {}", event.sequence.value));
    return;
  }
  Client& client = *found->second;
  if (has_last_event(client.queue)) {
    broken(fmt::format("two ends of sequence {}", event.sequence.value));
  }
  if (swallows(event.event)) return;
  const bool last = std::holds_alternative<FinishEvent>(event.event);
  client.queue.push_back(std::move(event.event));
  if (!last && static_cast<int>(client.queue.size()) >= events_max_ && !client.was_full) {
    client.was_full = client.ever_full = true;
    ++tally_.pauses;
    scheduler_.pause(client.id, clock_.now());
  }
  // A token and the prompt's log probabilities may come in one step, and the token and the end of
  // the step that has been enqueued behind it; with a constraint the tokens that it forces.
  const int forced = client.submission.constraint != nullptr ? kFakeForcedMax
                     : client.submission.drafter != nullptr  ? options_.drafts_max
                                                             : 0;
  if (static_cast<int>(client.queue.size()) > events_max_ + 3 + forced)
    broken("a queue outgrows its limit");
}

void Simulation::read_all(Client& client) {
  for (; !client.queue.empty(); client.queue.pop_front()) {
    Event& event = client.queue.front();
    if (const auto* token = std::get_if<TokenEvent>(&event)) {
      if (token->index != static_cast<int>(client.read.size()))
        broken("an event is lost or doubled");
      client.read.push_back(token->token);
    } else if (const auto* logprobs = std::get_if<PromptLogprobsEvent>(&event)) {
      check_prompt_logprobs(client, *logprobs);
    } else if (const auto* embedding = std::get_if<EmbeddingEvent>(&event)) {
      if (client.embedded) broken("two embeddings of one sequence");
      client.embedded = true;
      ++tally_.embeddings;
      if (embedding->values != fake_embedding(fake_prompt_hash(client.submission)))
        broken(fmt::format("sequence {} has another's embedding", client.id.value));
    } else {
      check_end(client, std::get<FinishEvent>(event));
      client.ended = true;
    }
  }
  if (client.was_full) {
    client.was_full = false;
    scheduler_.resume(client.id);
  }
}

void Simulation::check_prompt_logprobs(const Client& client, const PromptLogprobsEvent& event) {
  const std::vector<Token>& prompt = client.submission.tokens;
  if (client.submission.sampling.prompt_logprobs < 0) broken("log probabilities nobody asked for");
  if (!client.read.empty()) broken("the prompt's log probabilities come late");
  if (event.entries.size() != prompt.size()) {
    broken("the prompt has lost a log probability");
    return;
  }
  for (size_t i = 1; i < prompt.size(); ++i) {
    const TokenLogprob& chosen = event.entries[i].chosen;
    if (chosen.token != prompt[i] || chosen.logprob != -static_cast<float>(i)) {
      broken(fmt::format("the log probability of position {} is another's", i));
    }
  }
}

/// Remembers whose guesses were taken back.
void Simulation::note_rollbacks(const Step& step) {
  for (size_t i = 0; i < step.output.rows.size(); ++i) {
    const PlanRow& row = step.plan.rows[i];
    const auto client = clients_.find(row.sequence);
    if (client != clients_.end() && !step.output.rows[i].error)
      client->second->rolled_back |=
          static_cast<int>(step.output.rows[i].verified.size()) < row.drafts;
  }
}

/// Compares an answer whose computation was not straight with that of a scheduler of its own: one
/// sequence, one row a step, no prefix cache, no guesses.
void Simulation::compare_cold(const Client& client, const FinishEvent& finish) {
  const bool hit = finish.cached_tokens > 0;
  if (client.submission.pooling != Pooling::kNone ||
      !(hit || client.preempted || client.rolled_back))
    return;
  SchedulerOptions options = options_;
  options.deterministic = true;
  options.prefix_cache = false;
  Submission submission = client.submission;
  submission.drafter = nullptr;
  submission.deadline.reset();
  FakeRunner runner(options);
  uint64_t ids = 0;
  const Result<std::vector<DirectAnswer>> cold =
      DirectRun(runner, options, ids).run({submission}, 0);
  if (!cold.ok() || !runner.faults().empty()) {
    broken("the cold deterministic run fails");
  } else if (cold->front().tokens != client.read) {
    broken(fmt::format("the answer of sequence {} differs from a cold deterministic run",
                       client.id.value));
  }
  tally_.cold_hits += hit;
  tally_.cold_preemptions += client.preempted;
  tally_.cold_rollbacks += client.rolled_back;
}

std::string Simulation::mix_name() const {
  std::string name;
  for (const KvGroupPlan& group : options_.kv.groups)
    name += fmt::format("{}{}", name.empty() ? "" : "+", kv_kind_name(group.kind));
  return name.empty() ? "none" : name;
}

void Simulation::check_end(Client& client, const FinishEvent& finish) {
  ++tally_.ends[finish.reason];
  tally_.cached_tokens += static_cast<uint64_t>(finish.cached_tokens);
  const auto& [tokens, expected] = std::tie(client.read, client.expected);
  // One token may be right by chance.
  planted_ |= client.cut && (client.embedded || tokens.size() > 3);
  const int length = static_cast<int>(expected.size());
  const auto must = [&](bool holds, const char* what) {
    if (!holds)
      broken(fmt::format("sequence {} (reason {}): {}", client.id.value,
                         static_cast<int>(finish.reason), what));
  };
  must(is_prefix(tokens, expected), "the answer is not the one that the model gives");
  must(finish.prompt_tokens == static_cast<int>(client.submission.tokens.size()),
       "wrong count of the prompt");
  must(finish.cached_tokens < finish.prompt_tokens, "nothing left to compute");
  const bool ends_early = finish.completion_tokens == static_cast<int>(tokens.size());
  switch (finish.reason) {
    case FinishReason::kStop:
      if (client.cancelled && ends_early) break;  // as for a stop string
      if (client.submission.pooling != Pooling::kNone) {
        must(client.embedded && tokens.empty(), "ends without an embedding");
        break;
      }
      must(finish.completion_tokens == length &&
               (static_cast<int>(tokens.size()) == length - 1 ||
                (client.submission.constraint != nullptr && tokens.size() == expected.size())),
           "stops at the wrong place");
      break;
    case FinishReason::kLength:
      must(ends_early && length == client.tokens_max && static_cast<int>(tokens.size()) == length,
           "is cut at the wrong place");
      break;
    case FinishReason::kCancelled:
      must(ends_early && client.cancelled, "nobody cancelled it");
      break;
    case FinishReason::kTimeout:
      must(ends_early && client.submission.deadline <= clock_.now(), "is not late");
      break;
    case FinishReason::kSlowReader:
      must(ends_early && client.ever_full, "has a quick reader");
      break;
    case FinishReason::kError:
      must(ends_early && client.failed, "has no failed row");
      break;
  }
  const bool answered = !client.cancelled && (finish.reason == FinishReason::kStop ||
                                              finish.reason == FinishReason::kLength);
  if (answered) ++tally_.answers[mix_name()];
  if (answered && compares_) compare_cold(client, finish);
  // The next turn of this conversation.
  std::vector<Token> history = client.submission.tokens;
  history.insert(history.end(), tokens.begin(), tokens.end());
  if (histories_.size() < kHistoriesMax) {
    histories_.push_back(std::move(history));
  } else {
    histories_[static_cast<size_t>(between(0, kHistoriesMax - 1))] = std::move(history);
  }
}

}  // namespace testing
}  // namespace pippin::engine
