#include "parse/call_scanner.h"

#include <algorithm>
#include <utility>

#include "parse/json_text.h"
#include "parse/tool/rows.h"
#include "parse/value_reader.h"

namespace pippin::parse {
namespace {

constexpr size_t kSpaceBytesMax = 256;

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= CallScanner::kNameBytesMax &&
         std::none_of(name.begin(), name.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

}  // namespace

CallScanner::CallScanner(const ToolDialect* dialect, std::vector<ToolSpec> offered,
                         ReasoningSplitter& text)
    : dialect_(dialect), offered_(std::move(offered)), text_(text) {}

void CallScanner::start_behind(std::string_view generation_prefix) {
  if (!dialect_ || generation_prefix.empty()) return;
  start_marker_ = generation_prefix;
  source_ = dialect_;
  from_prompt_ = true;
  state_ = State::kHead;
}

void CallScanner::push(std::string_view piece, Events& events) {
  if (!dialect_) {
    text_.push(piece, base_, events);
    base_ += piece.size();
    return;
  }
  pending_ += piece;
  advance(false, events);
}

void CallScanner::finish(Events& events) {
  advance(true, events);
  if (!after_call_) text_.push(space_, base_ - space_.size(), events);
  space_.clear();
  text_.boundary(false, events);
}

void CallScanner::advance(bool last, Events& events) {
  for (bool more = true; more;) {
    switch (state_) {
      case State::kText:
        more = scan(last, events);
        break;
      case State::kHead:
        more = read_head(last, events);
        break;
      case State::kArguments:
        more = read_arguments(last, events);
        break;
      case State::kTail:
        more = read_tail(last, events);
        break;
    }
  }
  pending_.erase(0, at_);
  base_ += std::exchange(at_, 0);
}

bool CallScanner::scan(bool last, Events& events) {
  if (!dialect_) return false;
  const std::string_view text = pending();
  if (last && after_call_ && is_cut_end_marker(trim(text))) {
    at_ = pending_.size();
    return false;
  }
  bool line_start = line_start_;
  for (size_t i = 0; i < text.size(); ++i) {
    const std::string_view rest = text.substr(i);
    std::string_view found;
    const ToolDialect* source = nullptr;
    bool partial = false;
    const auto look = [&](const Texts& markers, const ToolDialect* of) {
      for (std::string_view marker : markers) {
        if (rest.starts_with(marker)) {
          if (marker.size() > found.size()) found = marker, source = of;
        } else if (marker.starts_with(rest)) {
          partial = true;
        }
      }
    };
    look(dialect_->start_markers, dialect_);
    if (line_start) look(kGeneric.unmarked, &kGeneric);
    if (!last && partial) {
      release(text.substr(0, i), base_ + at_, events);
      at_ += i;
      return false;
    }
    if (!found.empty() && calls_ < kCallsMax) {
      release(text.substr(0, i), base_ + at_, events);
      at_ += i + found.size();
      start_marker_ = found;
      source_ = source;
      first_ = true;
      state_ = State::kHead;
      return true;
    }
    line_start = text[i] == '\n' || (line_start && is_space(text[i]));
  }
  release(text, base_ + at_, events);
  at_ = pending_.size();
  return false;
}

// Returns whether an answer that was cut off ends with the beginning of an end marker.
bool CallScanner::is_cut_end_marker(std::string_view text) const {
  const auto begins = [&](std::string_view marker) { return marker.starts_with(text); };
  const Envelope& envelope = dialect_->envelope;
  return !text.empty() && (std::ranges::any_of(dialect_->end_markers, begins) ||
                           begins(trim(envelope.suffix)) || begins(trim(envelope.section_end)));
}

bool CallScanner::read_head(bool last, Events& events) {
  const std::string_view text = pending().substr(0, kHeadBytesMax);
  const bool whole = text.size() < kHeadBytesMax;
  Cursor in(text, last && whole);
  const HeadContext context{*source_, start_marker_, unmarked(), first_, nesting_};
  // Whether this is inside thinking is known once the text before the start marker has passed.
  if (unmarked() && text_.inside()) in.decline();
  Head head = source_->head(in, context);
  if (in.state() == Cursor::State::kMore && whole) return false;
  if (!in.reading()) {
    refuse_head(in.state() != Cursor::State::kDeclined && !unmarked(), events);
    return true;
  }
  if (head.skipped) {
    from_prompt_ = false;
    at_ += in.at();
    space_.clear();
    state_ = State::kText;
    return true;
  }
  head.name = offered_name(head.name);
  const ToolSpec* const tool = find_offered(head.name);
  const bool offered = tool || !(unmarked() || head.offered_only);
  const bool unheld = unmarked() && tool && tool->strict && (head.whole || head.in_string);
  if (!offered || unheld || !is_name(head.name)) {
    refuse_head(!unmarked(), events);
    return true;
  }
  at_ += in.at();
  begin_call(std::move(head), events);
  return true;
}

void CallScanner::refuse_head(bool is_broken, Events& events) {
  if (is_broken && !from_prompt_) note("not a call", events);
  state_ = State::kText;
  // Behind an earlier call of the section, what follows is looked at anew.
  if (first_ && !from_prompt_) release(start_marker_, base_ + at_ - start_marker_.size(), events);
  from_prompt_ = false;
}

void CallScanner::begin_call(Head head, Events& events) {
  from_prompt_ = false;
  space_.clear();
  text_.boundary(true, events);
  nesting_ = head.nesting;
  name_ = head.name;
  arguments_seen_ = false;
  events.push_back(ToolCallBegin{calls_, head.name});
  if (head.whole) {
    events.push_back(ToolCallArguments{calls_, *head.whole});
    state_ = State::kTail;
    return;
  }
  state_ = State::kArguments;
  switch (head.form) {
    case ArgumentForm::kTagged:
      reader_ = tagged_reader(*head.tags, find_offered(head.name));
      break;
    case ArgumentForm::kKeywords:
      reader_ = keyword_reader();
      break;
    default:
      reader_ = head.in_string ? quoted_reader() : std::make_unique<ValueReader>();
      break;
  }
}

bool CallScanner::read_arguments(bool last, Events& events) {
  std::string json;
  size_t consumed = 0;
  arguments_seen_ |= !pending().empty();
  auto status = reader_->read(pending(), last, consumed, json);
  at_ += consumed;
  const bool repaired = status == ArgumentReader::Status::kBroken && reader_->close(json);
  if (repaired) note("brackets were missing", events);
  if (!json.empty()) {
    auto* before = events.empty() ? nullptr : std::get_if<ToolCallArguments>(&events.back());
    if (before && before->index == calls_) {
      before->json += json;
    } else {
      events.push_back(ToolCallArguments{calls_, std::move(json)});
    }
  }
  if (status == ArgumentReader::Status::kDone || repaired) {
    state_ = State::kTail;
    return true;
  }
  if (status == ArgumentReader::Status::kMore && !last) return false;
  note(status == ArgumentReader::Status::kMore ? "arguments are cut off" : "arguments are broken",
       events);
  end_call(false, events);
  if (status == ArgumentReader::Status::kMore) at_ = pending_.size();
  return true;
}

bool CallScanner::read_tail(bool last, Events& events) {
  const std::string_view text = pending().substr(0, kTailBytesMax);
  const bool whole = text.size() < kTailBytesMax;
  Cursor in(text, last && whole);
  NestingState nesting = nesting_;
  const Next next = source_->tail(in, nesting, *source_);
  if (in.state() == Cursor::State::kMore && whole && !last) return false;
  const bool closed = in.reading() || (last && in.state() != Cursor::State::kFailed);
  if (!closed) note("the call's end is missing", events);
  end_call(true, events);
  if (!in.reading()) return true;
  at_ += in.at();
  nesting_ = nesting;
  if (next == Next::kCall) {
    first_ = false;
    state_ = State::kHead;
  }
  return true;
}

void CallScanner::end_call(bool complete, Events& events) {
  events.push_back(ToolCallEnd{calls_++, complete});
  reader_.reset();
  state_ = State::kText;
  after_call_ = true;
  line_start_ = true;
}

void CallScanner::note(std::string_view what, Events& events) {
  events.push_back(Malformed{dialect_->name, what});
}

void CallScanner::release(std::string_view text, size_t at, Events& events) {
  if (text.empty()) return;
  const size_t line = text.rfind('\n');
  if (line != std::string_view::npos) line_start_ = true;
  if (!trim(text.substr(line == std::string_view::npos ? 0 : line)).empty()) line_start_ = false;
  size_t end = text.size();
  while (end > 0 && is_space(text[end - 1])) --end;
  if (end > 0) {
    after_call_ = false;
    // The whitespace that was held back stands right before.
    text_.push(space_ + std::string(text.substr(0, end)), at - space_.size(), events);
    space_.clear();
  }
  space_ += text.substr(end);
  if (space_.size() > kSpaceBytesMax) {
    const size_t over = space_.size() - kSpaceBytesMax;
    const size_t begin = at + text.size() - space_.size();
    text_.push(std::string_view(space_).substr(0, over), begin, events);
    space_.erase(0, over);
  }
}

// The name without a namespace that models write and requests do not.
std::string CallScanner::offered_name(std::string_view name) const {
  constexpr std::string_view kNamespace = "functions.";
  name = trim(name);
  if (!find_offered(name) && name.starts_with(kNamespace)) name.remove_prefix(kNamespace.size());
  return std::string(name);
}

std::optional<ArgumentsAhead> CallScanner::arguments_ahead() const {
  if (source_ == nullptr || !unmarked()) return std::nullopt;
  if (state_ == State::kArguments && !arguments_seen_)
    return ArgumentsAhead{name_, ArgumentForm::kKeywords};
  const std::string_view text = pending();
  if (state_ != State::kHead || text.size() >= kHeadBytesMax || text_.inside()) return std::nullopt;
  // Where an object would be read as the arguments, they come next.
  const std::string with_object = std::string(text) + "{";
  Cursor in(with_object, false);
  const Head head = source_->head(in, HeadContext{*source_, start_marker_, true, first_, nesting_});
  const bool begins = in.reading() && in.at() == text.size() && !head.whole && !head.in_string &&
                      !head.skipped && head.form == ArgumentForm::kJson;
  const std::string name = offered_name(head.name);
  if (!begins || !find_offered(name)) return std::nullopt;
  return ArgumentsAhead{name, head.form};
}

const ToolSpec* CallScanner::find_offered(std::string_view name) const {
  const auto found = std::find_if(offered_.begin(), offered_.end(),
                                  [&](const ToolSpec& tool) { return tool.name == name; });
  return found == offered_.end() ? nullptr : &*found;
}

}  // namespace pippin::parse
