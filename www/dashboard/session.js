// Whose token the page has. It lives as long as this tab, and stands in no address.

const STORED = "flagstone-token";

export const token = () => sessionStorage.getItem(STORED) ?? undefined;

export const keep = (token) => sessionStorage.setItem(STORED, token);

export const forget = () => sessionStorage.removeItem(STORED);
