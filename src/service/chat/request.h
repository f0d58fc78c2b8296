// Request, Delta, Usage: the one internal request behind all APIs, and the typed stream that
// answers it. Plain structs; no JSON but the opaque texts of tools, arguments and template kwargs.
// Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "engine/core/types.h"

namespace pippin::service {

using engine::FinishReason;
using engine::Token;

struct TextPart {
  std::string text;
};
/// A piece of a message. Images, audio and files become further alternatives.
using Part = std::variant<TextPart>;

enum class Role : uint8_t { kSystem, kDeveloper, kUser, kAssistant, kTool };

struct ToolCall {
  std::string id;
  std::string name;
  std::string arguments_json;  // as the model wrote it: usually, not always, a JSON object
};

struct Message {
  Role role = Role::kUser;
  std::vector<Part> parts;  // empty: content was null or absent
  std::string name;         // of the speaker or, for kTool, of the function; empty if not given
  std::vector<ToolCall> tool_calls;
  std::string tool_call_id;
  std::string reasoning;  // an earlier answer's thinking; empty if not given
};

/// A function that the model may call.
struct Tool {
  std::string name;
  std::string parameters_json;  // its JSON Schema; empty if not given
  std::string definition_json;  // {"type": "function", "function": ..}, as templates are given it
  bool strict = false;          // the arguments must fit the schema
  /// A Lark grammar that the only argument, "input", a string, is a text of; empty: none.
  std::string input_grammar = {};
  /// What the request calls `parameters_json`, or the grammar, for messages.
  std::string field = "tools";
};

struct Conversation {
  std::vector<Message> messages;
  std::vector<Tool> tools;           // those the template shows
  std::string template_kwargs_json;  // a JSON object whose members join the template's context
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // the answer goes on with the last message
};

struct TextPrompt {
  std::string text;  // special tokens in it count as such
};
struct TokenPrompt {
  std::vector<Token> tokens;
};
using Prompt = std::variant<Conversation, TextPrompt, TokenPrompt>;

/// Which calls the answer may hold. Reading calls at all needs tools in the conversation.
struct ToolChoice {
  enum class Mode : uint8_t {
    kAuto,      // the model's own choice
    kNone,      // no call: what looks like one is text
    kRequired,  // at least one
  };
  Mode mode = Mode::kAuto;
  std::vector<std::string> names;  // the only ones that may be called; empty = all
  bool parallel = true;            // more than one call in an answer
};

/// What the answer's content must be; a grammar holds the model to it, after its thinking.
struct JsonObjectFormat {};
struct JsonSchemaFormat {
  std::string schema_json;
};
struct RegexFormat {
  std::string pattern;
};
struct ChoiceFormat {
  std::vector<std::string> choices;  // one of these texts
};
struct GrammarFormat {
  enum class Syntax : uint8_t { kGbnf, kLark };
  Syntax syntax = Syntax::kLark;
  std::string text;
};
using Format = std::variant<std::monostate, JsonObjectFormat, JsonSchemaFormat, RegexFormat,
                            ChoiceFormat, GrammarFormat>;

/// How an answer's text is told apart. Off for raw completions.
struct Reading {
  bool calls = true;                        // calls of tools become ToolCallDeltas
  bool reasoning = true;                    // thinking becomes ReasoningDeltas
  std::optional<int> reasoning_tokens_max;  // thinking is closed after as many; 0 = none
};

/// What an API asks for. Choice i of the answer belongs to prompts[i / n].
struct Request {
  std::vector<Prompt> prompts;
  int n = 1;                        // choices for each prompt
  engine::SamplingParams sampling;  // its seed is set by Generation
  std::optional<uint64_t> seed;     // absent: drawn at random
  std::vector<std::string> stop;    // not empty strings; not part of the text
  std::vector<Token> stop_tokens;   // beside the model's own
  std::optional<int> max_tokens;    // absent: what the context leaves; 0: the prompt is only scored
  int min_tokens = 0;
  bool ignore_eos = false;
  std::string cache_salt;
  engine::Priority priority = engine::Priority::kNormal;
  std::optional<TimePoint> deadline;
  ToolChoice tool_choice;
  Format format;
  std::string format_field = "response_format";  // what the request calls it, for messages
  Reading reading;                               // of conversations
};

struct TokenLogprob {
  std::string bytes;  // not necessarily whole UTF-8
  float logprob = 0;
  Token token = -1;
};

/// A token of the answer or the prompt with its probability, where asked for.
struct ScoredToken {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;
  bool scored = true;  // false for a prompt's first token, which nothing precedes
};

/// Text that is final: whole characters, and no part of a stop string.
struct TextDelta {
  std::string text;
  std::vector<ScoredToken>
      tokens;  // those whose text begins in this delta or before; only if asked for
};

/// Thinking, under the rules of TextDelta. Its tokens are not scored: APIs give the content's.
struct ReasoningDelta {
  std::string text;
};

/// A piece of a call. The first of each call has its id and name; the arguments of all, joined, are
/// one JSON object once `complete`, and a piece of one if the answer ends before.
struct ToolCallDelta {
  int index = 0;   // of the choice's calls, from 0
  std::string id;  // "call_..."
  std::string name;
  std::string arguments;
  bool complete = false;  // the call's last piece
};

/// The prompt's tokens, once, before the choice's text; only if asked for.
struct PromptDelta {
  std::vector<ScoredToken> tokens;
};

/// The end of one choice, exactly once.
struct Finish {
  FinishReason reason = FinishReason::kStop;
  bool called_tools = false;  // there was a whole call; the APIs' "tool_calls" with kStop
  std::string stop;           // the stop string that was met, if one was
  Error error;                // for every reason but kStop and kLength
};

struct Delta {
  int choice = 0;
  std::variant<TextDelta, ReasoningDelta, ToolCallDelta, PromptDelta, Finish> body;
};

/// Tokens of the whole request. A prompt counts once, however many choices it has.
struct Usage {
  int prompt_tokens = 0;
  int cached_tokens = 0;  // of the prompt tokens
  int completion_tokens = 0;
  int reasoning_tokens = 0;  // of the completion tokens
};

}  // namespace pippin::service
