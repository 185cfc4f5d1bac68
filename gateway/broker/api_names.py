"""What the model's API knows by name, sorted: what stays between the sandbox and the model, and what reaches further.

Taken from the API's reference and from what the real agent's program (2.1.330) sends. Flags and tool types are named
without their date (`bash` of `bash_20250124`): a later version of one is no other thing. Nothing that is in neither
list is let through, so what the API learns tomorrow stays shut until somebody names it.
"""

from __future__ import annotations

from typing import Final

HEADERS: Final = frozenset(
    {
        "accept",
        "anthropic-dangerous-direct-browser-access",
        "anthropic-version",
        "user-agent",
        "x-app",
    }
)
"""Request headers that go on as they are; any other is left out, as it changes nothing of what is asked."""

HEADER_PREFIXES: Final = ("x-stainless-", "x-claude-code-")

BETAS: Final = frozenset(
    {
        "advanced-tool-use",
        "advisor-tool",
        "afk-mode",
        "auto-mode-classifier",
        "cache-diagnosis",
        "cache-keepalive",
        "claude-code",
        "claude-code-side-query",
        "compact",
        "computer-use",
        "context-1m",
        "context-hint",
        "context-management",
        "dangerous-tool-use",
        "effort",
        "extended-cache-ttl",
        "fallback-credit",
        "fast-mode",
        "fine-grained-tool-streaming",
        "inline-tools",
        "interleaved-thinking",
        "mid-conversation-system",
        "mid-conversation-system-clear-at",
        "mid-conversation-tool-changes",
        "model-context-window-exceeded",
        "oauth",
        "output-128k",
        "pdfs",
        "per-turn-control",
        "prompt-caching",
        "prompt-caching-evict",
        "prompt-caching-scope",
        "redact-thinking",
        "request-tags",
        "resumption",
        "search-results",
        "server-side-fallback",
        "structured-outputs",
        "task-budgets",
        "thinking-binding-controls",
        "thinking-display-updates",
        "thinking-resumption",
        "thinking-token-count",
        "timing",
        "token-counting",
        "token-efficient-tools",
        "tool-examples",
        "tool-search-tool",
    }
)
NETWORK_BETAS: Final = frozenset(
    {
        "code-execution",
        "code-execution-web-tools",
        "files-api",
        "mcp-client",
        "mcp-servers",
        "mcp-tunnels",
        "skills",
        "web-fetch",
        "web-search",
        "web-search-results-only",
    }
)

FIELDS: Final = frozenset(
    {
        "cache_control",
        "context_hint",
        "context_management",
        "diagnostics",
        "fallback_credit_token",
        "fallbacks",
        "inference_geo",
        "max_tokens",
        "messages",
        "metadata",
        "model",
        "output_config",
        "output_format",
        "request_tags",
        "resumption",
        "safeguards",
        "service_tier",
        "speed",
        "stop_sequences",
        "stream",
        "system",
        "temperature",
        "thinking",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
NETWORK_FIELDS: Final = frozenset({"container", "mcp_servers"})

TOOLS: Final = frozenset(
    {
        "advisor",
        "bash",
        "computer",
        "custom",
        "memory",
        "text_editor",
        "tool_search_tool_bm25",
        "tool_search_tool_regex",
    }
)
"""Tools that the client carries out, and those with which the API only looks at what it was sent."""

NETWORK_TOOLS: Final = frozenset({"code_execution", "mcp_toolset", "web_fetch", "web_search"})

CONTENT: Final = frozenset(
    {
        "advisor_redacted_result",
        "advisor_result",
        "advisor_tool_result",
        "advisor_tool_result_error",
        "base64",
        "char_location",
        "compaction",
        "content",
        "content_block_location",
        "direct",
        "document",
        "ephemeral",
        "fallback",
        "image",
        "page_location",
        "redacted_thinking",
        "search_result",
        "search_result_location",
        "server_tool_use",
        "text",
        "thinking",
        "tool_addition",
        "tool_definition",
        "tool_reference",
        "tool_removal",
        "tool_result",
        "tool_search_tool_result",
        "tool_search_tool_result_error",
        "tool_search_tool_search_result",
        "tool_use",
        "web_search_result",
        "web_search_result_location",
        "web_search_tool_result",
        "web_search_tool_result_error",
    }
)
"""Every `type` in messages and system prompt: of blocks, and of what is in them (sources, citations, cache marks)."""

NETWORK_CONTENT: Final = frozenset(
    {
        "bash_code_execution_output",
        "bash_code_execution_result",
        "bash_code_execution_tool_result",
        "bash_code_execution_tool_result_error",
        "code_execution",
        "code_execution_output",
        "code_execution_result",
        "code_execution_tool_result",
        "code_execution_tool_result_error",
        "container_upload",
        "encrypted_code_execution_result",
        "file",
        "mcp_tool_result",
        "mcp_tool_use",
        "text_editor_code_execution_create_result",
        "text_editor_code_execution_str_replace_result",
        "text_editor_code_execution_tool_result",
        "text_editor_code_execution_tool_result_error",
        "text_editor_code_execution_view_result",
        "url",
        "web_fetch_result",
        "web_fetch_tool_result",
        "web_fetch_tool_result_error",
    }
)
"""`url` and `file`: sources of images and documents which the API fetches."""

OPAQUE: Final = frozenset({"mcp_tool_use", "server_tool_use", "tool_use"})
"""Blocks whose `input` is the model's own JSON, which the API acts on no more."""
