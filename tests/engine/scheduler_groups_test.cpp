// KV groups beside attention: recurrent states, encoded inputs, media, drafts, embeddings. The fake
// runner sees to it that no row reads what is not its own.
#include <gtest/gtest.h>

#include "engine/core/state_group.h"
#include "engine/scheduler_harness.h"

namespace pippin::engine::testing {
namespace {

constexpr int kCheckpoint = 64;

/// A hybrid: attention in some layers, a state in the others.
SchedulerOptions hybrid(int states = 16) {
  SchedulerOptions options;
  options.context_tokens_max = 4096;
  options.kv = KvPlan::full(1024);
  KvGroupSpec state{KvKind::kState};
  state.checkpoint_positions = kCheckpoint;
  options.kv.add(state, states);
  options.rows_max = 8;
  options.step_tokens_max = 128;
  options.inputs = ModelInputs::all(2);
  return options;
}

/// Guesses tokens out of a list; every n-th one wrongly.
class ListDrafter final : public Drafter {
 public:
  ListDrafter(size_t prompt, std::vector<Token> answer, size_t wrong_each)
      : prompt_(prompt), answer_(std::move(answer)), wrong_each_(wrong_each) {}
  std::vector<Token> propose(std::span<const Token> tokens, int at_most) override {
    std::vector<Token> drafts;
    for (size_t i = tokens.size() - prompt_;
         i < answer_.size() && static_cast<int>(drafts.size()) < at_most; ++i)
      drafts.push_back(wrong_each_ > 0 && i % wrong_each_ == 0 ? answer_[i] + 1 : answer_[i]);
    return drafts;
  }

 private:
  size_t prompt_;
  std::vector<Token> answer_;
  size_t wrong_each_;
};

TEST(States, ASecondTurnComputesTheNewTokensOnly) {
  Harness harness(hybrid());
  Submission submission = prompt_of(1000, 50);
  const SequenceId first = harness.submit(submission);
  harness.run_until_idle();
  const uint64_t cold = harness.runner.computed_tokens();
  const std::vector<Token>& answer = harness.got[first].tokens;
  submission.tokens.insert(submission.tokens.end(), answer.begin(), answer.end());
  for (Token token = 0; token < 30; ++token) submission.tokens.push_back(token);
  const SequenceId second = harness.submit(submission);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[second].tokens, fake_answer(submission, 50));
  // All but the answer's last token, which was never computed.
  EXPECT_EQ(harness.got[second].finish->cached_tokens, 1049);
  EXPECT_EQ(harness.runner.computed_tokens() - cold, 1080u - 1049 + 49);
}

TEST(States, APromptThatTurnsOffGoesOnFromACheckpoint) {
  Harness harness(hybrid());
  harness.submit(prompt_of(300, 1));
  harness.run_until_idle();
  Submission other = prompt_of(300, 4);
  other.tokens[200] = 7;
  const SequenceId id = harness.submit(other);
  harness.step();
  EXPECT_EQ(harness.status_of(id)->cached_tokens, 200 / kCheckpoint * kCheckpoint);
  EXPECT_EQ(harness.status_of(id)->miss, PrefixMiss::kNoState);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[id].tokens, fake_answer(other, 4));
}

TEST(States, WithoutRoomForCheckpointsAnswersAreTheSame) {
  Harness harness(hybrid(StateGroup::kBlocksMin));
  std::vector<Submission> submissions;
  std::vector<SequenceId> ids;
  for (int i = 0; i < 6; ++i) {
    submissions.push_back(prompt_of(150 + i, 40, 1000 * (i % 2)));
    ids.push_back(harness.submit(submissions.back()));
  }
  harness.run_until_idle();
  for (size_t i = 0; i < ids.size(); ++i)
    EXPECT_EQ(harness.got[ids[i]].tokens, fake_answer(submissions[i], 40));
}

TEST(States, APreemptedSequenceGoesOnFromWhereItWas) {
  SchedulerOptions options = hybrid();
  options.rows_max = 1;
  Harness harness(options);
  const Submission low = prompt_of(100, 60);
  Submission high = prompt_of(40, 5, 5000);
  high.priority = Priority::kHigh;
  const SequenceId first = harness.submit(low);
  for (int i = 0; i < 20; ++i) harness.step();
  const SequenceId second = harness.submit(high);
  harness.run_until_idle();
  EXPECT_EQ(harness.scheduler.status().preemptions, 1u);
  EXPECT_EQ(harness.got[first].tokens, fake_answer(low, 60));
  EXPECT_EQ(harness.got[second].tokens, fake_answer(high, 5));
  EXPECT_EQ(harness.runner.computed_tokens(), 100u + 59 + 40 + 4);  // nothing twice
}

/// Drafts change how many steps an answer takes, not the answer; what was wrong leaves no trace.
TEST(Drafts, GiveTheTokensOfARunWithoutThem) {
  for (const bool with_state : {false, true}) {
    for (const size_t wrong_each : {0u, 3u, 1u}) {
      SchedulerOptions options = with_state ? hybrid() : small_options();
      options.drafts_max = 4;
      Harness harness(options);
      Submission submission = prompt_of(50, 60);
      const std::vector<Token> expected = fake_answer(submission, 60);
      submission.drafter =
          std::make_shared<ListDrafter>(submission.tokens.size(), expected, wrong_each);
      const SequenceId id = harness.submit(submission);
      harness.run_until_idle();
      EXPECT_EQ(harness.got[id].tokens, expected);
      const SchedulerStatus status = harness.scheduler.status();
      EXPECT_GT(status.drafted, 0u);
      if (wrong_each == 0) {
        EXPECT_EQ(status.accepted, status.drafted);
        EXPECT_LT(status.steps, 16u);
      }
      if (wrong_each == 1) {
        EXPECT_EQ(status.accepted, 0u);
      }
      // The next turn finds what was accepted, and nothing of what was not.
      Submission next = submission;
      next.drafter = nullptr;
      next.tokens.insert(next.tokens.end(), expected.begin(), expected.end());
      const SequenceId again = harness.submit(next);
      harness.run_until_idle();
      EXPECT_EQ(harness.got[again].tokens, fake_answer(next, 60));
      EXPECT_GE(harness.got[again].finish->cached_tokens, 96);
    }
  }
}

TEST(EncodedInputs, AreEncodedOnceAndShared) {
  SchedulerOptions options = small_options();
  options.kv.add({KvKind::kCross}, 2);
  Harness harness(options);
  std::vector<Submission> submissions;
  std::vector<SequenceId> ids;
  for (int i = 0; i < 8; ++i) {
    submissions.push_back(prompt_of(40, 10));
    submissions.back().encoded = EncodedInput{i % 2 == 0 ? "a" : "b"};
    ids.push_back(harness.submit(submissions.back()));
  }
  harness.run_until_idle();
  EXPECT_EQ(harness.runner.encoded(), 2u);
  for (size_t i = 0; i < ids.size(); ++i)
    EXPECT_EQ(harness.got[ids[i]].tokens, fake_answer(submissions[i], 10));
  EXPECT_NE(harness.got[ids[0]].tokens, harness.got[ids[1]].tokens);

  Submission without = prompt_of(4, 1);
  EXPECT_EQ(Scheduler::check(options, without).error().param, "input");
}

TEST(EncodedInputs, ThatFailedAreEncodedAgain) {
  SchedulerOptions options = small_options();
  options.kv.add({KvKind::kCross}, 2);
  Harness harness(options);
  Submission submission = prompt_of(40, 3);
  submission.encoded = EncodedInput{"a"};
  bool fails = true;
  harness.runner.fails = [&](const PlanRow&) { return std::exchange(fails, false); };
  const SequenceId first = harness.submit(submission), second = harness.submit(submission);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[first].finish->reason, FinishReason::kError);
  EXPECT_EQ(harness.got[second].tokens, fake_answer(submission, 3));
  const SequenceId third = harness.submit(submission);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[third].tokens, fake_answer(submission, 3));
  EXPECT_EQ(harness.runner.encoded(), 2u);
}

TEST(Media, OfTheSameContentSharesBlocksAndOfAnotherDoesNot) {
  Harness harness(small_options());
  Submission cat = prompt_of(100, 4);
  std::fill_n(cat.tokens.begin() + 10, 40, 9);
  cat.media = {{10, 40, "cat"}};
  Submission dog = cat;
  dog.media[0].hash = "dog";
  const SequenceId first = harness.submit(cat);
  harness.run_until_idle();
  const SequenceId same = harness.submit(cat), other = harness.submit(dog);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[same].finish->cached_tokens, 96);
  EXPECT_EQ(harness.got[same].tokens, harness.got[first].tokens);
  EXPECT_EQ(harness.got[other].finish->cached_tokens, 10);  // the text before the picture
  EXPECT_EQ(harness.got[other].tokens, fake_answer(dog, 4));
}

TEST(Media, WhoseTokensSeeEachOtherIsNeverCut) {
  Harness harness(small_options());
  harness.submit(prompt_of(30, 60, 7000));
  harness.step();
  Submission submission = prompt_of(120, 4);
  submission.media = {{5, 50, "cat", true}, {70, 20, "dog", true}};
  const SequenceId id = harness.submit(submission);
  harness.run_until_idle();  // the fake runner finds the cut
  EXPECT_EQ(harness.got[id].tokens, fake_answer(submission, 4));
  submission.media[0].count = 65;
  EXPECT_EQ(Scheduler::check(small_options(), submission).error().param, "media");
}

/// A picture of two columns in the text, as rows and columns; the text goes on behind the larger.
Submission with_picture(int begin, int count) {
  Submission submission = prompt_of(100, 4);
  submission.position_components = 2;
  int32_t next = 0;
  for (int place = 0; place < 100; ++place) {
    const int i = place - begin;
    const bool in = i >= 0 && i < count;
    const int32_t text = i == count ? begin + std::max(2, count / 2) : next;
    submission.positions.push_back(in ? begin + i / 2 : text);
    submission.positions.push_back(in ? begin + i % 2 : text);
    next = text + 1;
  }
  return submission;
}

TEST(Positions, OfEqualTokensShareNoBlocksWhereTheyDiffer) {
  for (const bool with_state : {false, true}) {
    Harness harness(with_state ? hybrid() : small_options());
    const Submission picture = with_picture(70, 8), other = with_picture(70, 6);
    const SequenceId first = harness.submit(picture);
    harness.run_until_idle();
    const SequenceId same = harness.submit(picture), differs = harness.submit(other),
                     plain = harness.submit(prompt_of(100, 4));
    harness.run_until_idle();
    EXPECT_EQ(harness.got[first].tokens, fake_answer(picture, 4));
    EXPECT_EQ(harness.got[same].tokens, fake_answer(picture, 4));
    EXPECT_EQ(harness.got[differs].tokens, fake_answer(other, 4));
    EXPECT_EQ(harness.got[plain].tokens, fake_answer(prompt_of(100, 4), 4));
    Submission other_token = picture;
    other_token.tokens[72] = 7;
    const SequenceId token = harness.submit(other_token);
    harness.run_until_idle();
    EXPECT_EQ(harness.got[token].tokens, fake_answer(other_token, 4));
    EXPECT_EQ(harness.got[token].finish->cached_tokens, with_state ? kCheckpoint : 71);
    // The text before the picture is that of all.
    const int text = with_state ? kCheckpoint : 71;  // its first token lies where text would
    EXPECT_EQ(harness.got[same].finish->cached_tokens, with_state ? kCheckpoint : 96);
    EXPECT_EQ(harness.got[differs].finish->cached_tokens, with_state ? kCheckpoint : 71);
    EXPECT_EQ(harness.got[plain].finish->cached_tokens, text);
  }
}

TEST(Positions, GoOnBehindThePromptFromTheLargest) {
  Harness harness(small_options());
  Submission submission = with_picture(90, 10);
  submission.positions[199] = 500;
  harness.submit(submission);
  while (harness.scheduler.status().generated_tokens == 0) harness.step();
  const StepPlan plan = harness.step();
  ASSERT_EQ(plan.rows.size(), 1u);
  EXPECT_EQ(plan.rows[0].positions, (std::vector<int32_t>{501, 501}));
  for (const int32_t wrong : {-1, 1 << 30}) {
    submission.positions[3] = wrong;
    EXPECT_EQ(Scheduler::check(small_options(), submission).error().param, "positions");
  }
}

TEST(States, OfABlockWithMediaAreFound) {
  Harness harness(hybrid());
  Submission submission = prompt_of(150, 4);
  submission.media = {{kCheckpoint - 8, 8, "cat"}};
  harness.submit(submission);
  harness.run_until_idle();
  submission.tokens[kCheckpoint + 10] = 7;
  const SequenceId id = harness.submit(submission);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[id].finish->cached_tokens, kCheckpoint);
  EXPECT_EQ(harness.got[id].tokens, fake_answer(submission, 4));
}

/// What a model does not take is refused by name: its runner would not look at it.
TEST(Inputs, ThatTheModelDoesNotTakeAreRefused) {
  SchedulerOptions options = small_options();
  Submission positions = with_picture(10, 8), media = prompt_of(40, 2), pooled = prompt_of(40, 0),
             encoded = prompt_of(40, 2);
  media.media = {{5, 8, "cat", true}};
  pooled.pooling = Pooling::kMean;
  encoded.encoded = EncodedInput{"a"};
  for (const Submission* taken : {&positions, &media, &pooled})
    EXPECT_TRUE(Scheduler::check(options, *taken).ok());
  const auto refused = [&](const Submission& submission) {
    const Result<void> checked = Scheduler::check(options, submission);
    if (checked.ok()) return std::string("nothing");
    EXPECT_EQ(checked.error().code, Code::kUnsupported);
    return checked.error().param;
  };
  options.inputs.both_ways = false;
  EXPECT_EQ(refused(media), "media");
  options.inputs.position_components = 3;
  EXPECT_EQ(refused(positions), "positions");
  options.inputs = {};
  EXPECT_EQ(refused(positions), "positions");
  EXPECT_EQ(refused(media), "media");
  EXPECT_EQ(refused(pooled), "pooling");
  EXPECT_EQ(refused(encoded), "input");
  EXPECT_EQ(refused(prompt_of(40, 2)), "nothing");
}

TEST(Embeddings, ComeWithoutTokens) {
  for (const bool keeps : {true, false}) {
    SchedulerOptions options = small_options();
    if (!keeps) options.kv.groups.clear();
    Harness harness(options);
    Submission submission = prompt_of(60, 0);
    submission.pooling = Pooling::kLast;
    std::vector<SequenceId> ids;
    for (int i = 0; i < 3; ++i) ids.push_back(harness.submit(submission));
    harness.run_until_idle();
    for (const SequenceId id : ids) {
      EXPECT_EQ(harness.got[id].embedding, fake_embedding(fake_prompt_hash(submission)));
      EXPECT_EQ(harness.got[id].finish->reason, FinishReason::kStop);
      EXPECT_EQ(harness.got[id].finish->completion_tokens, 0);
    }
    submission.sampling.prompt_logprobs = 1;
    EXPECT_EQ(Scheduler::check(options, submission).error().param, "prompt_logprobs");
    submission.stop.max_tokens = 1;
    EXPECT_EQ(Scheduler::check(options, submission).error().param, "max_tokens");
  }
}

TEST(Embeddings, OfAModelThatKeepsNothingAreComputedAtOnce) {
  SchedulerOptions options = small_options();
  options.kv.groups.clear();
  Submission submission = prompt_of(65, 0);
  submission.pooling = Pooling::kMean;
  EXPECT_EQ(Scheduler::check(options, submission).error().code, Code::kContextLength);
  EXPECT_EQ(Scheduler::check(options, prompt_of(3, 4)).error().param, "prompt");
}

/// Without a group that keeps every position, the context is the limit.
TEST(Groups, OfOneKindAloneServeTheWholeContext) {
  for (const KvKind kind : {KvKind::kSliding, KvKind::kChunked, KvKind::kState, KvKind::kCross}) {
    SchedulerOptions options = small_options();
    options.kv.groups.clear();
    KvGroupSpec spec{kind};
    const bool windowed = kind == KvKind::kSliding || kind == KvKind::kChunked;
    if (windowed) spec.window = 32;
    options.kv.add(spec, 8);
    ASSERT_TRUE(options.check().ok());
    EXPECT_EQ(options.positions_max(), options.context_tokens_max);
    Harness harness(options);
    Submission submission = prompt_of(options.context_tokens_max - 20, 100);
    if (kind == KvKind::kCross) submission.encoded = EncodedInput{"a"};
    const SequenceId first = harness.submit(submission), second = harness.submit(submission);
    harness.run_until_idle();
    for (const SequenceId id : {first, second}) {
      EXPECT_EQ(harness.got[id].finish->reason, FinishReason::kLength) << kv_kind_name(kind);
      EXPECT_EQ(harness.got[id].tokens, fake_answer(submission, 20)) << kv_kind_name(kind);
    }
    submission.tokens.resize(static_cast<size_t>(options.context_tokens_max));
    EXPECT_EQ(Scheduler::check(options, submission).error().code, Code::kContextLength);
  }
}

TEST(Groups, AllAgreeOnAPrefix) {
  SchedulerOptions options = hybrid();
  KvGroupSpec sliding{KvKind::kSliding};
  sliding.window = 40;
  options.kv.add(sliding, 64);
  KvGroupSpec chunked{KvKind::kChunked};
  chunked.window = 48;
  options.kv.add(chunked, 64);
  Harness harness(options);
  Submission submission = prompt_of(400, 20);
  const SequenceId first = harness.submit(submission);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[first].tokens, fake_answer(submission, 20));
  submission.tokens[390] = 3;
  const SequenceId second = harness.submit(submission);
  harness.run_until_idle();
  EXPECT_EQ(harness.got[second].finish->cached_tokens, 384);
  EXPECT_EQ(harness.got[second].tokens, fake_answer(submission, 20));
}

}  // namespace
}  // namespace pippin::engine::testing
