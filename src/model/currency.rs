//! A code in; whether it is a currency, and how many decimals it has, out.

use super::Currency;

/// Currencies by the digits after their decimal point: ISO 4217, list one, as of February 2026 (SIX, the maintenance agency:
/// www.six-group.com/en/products-services/financial-information/data-standards.html). Of codes that have no minor unit there
/// (metals, bonds, what is for tests), no amount can be told.
const IN_USE: [(u8, &str); 4] = [
    (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
    (
        2,
        "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP \
         COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR \
         JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN \
         NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL \
         THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG",
    ),
    (3, "BHD IQD JOD KWD LYD OMR TND"),
    (4, "CLF UYW"),
];

/// What was money within the last twenty years (list three): a department's history may well have it.
const WITHDRAWN: [(u8, &str); 2] = [
    (0, "BYR"),
    (2, "ANG BGN CUC CYP EEK GHC HRK LTL LVL MRO MTL MZM SDD SIT SKK SLL STD TMM USS VEB VEF ZMK ZWD ZWL ZWN ZWR"),
];

const NONE: u8 = u8::MAX;

/// By [`Currency::number`].
static DECIMALS: [u8; 26 * 26 * 26] = {
    let mut table = [NONE; 26 * 26 * 26];
    let lists = [IN_USE[0], IN_USE[1], IN_USE[2], IN_USE[3], WITHDRAWN[0], WITHDRAWN[1]];
    let mut list = 0;
    while list < lists.len() {
        let (decimals, codes) = (lists[list].0, lists[list].1.as_bytes());
        let mut at = 0;
        while at + 3 <= codes.len() {
            let mut number = 0;
            let mut letter = 0;
            while letter < 3 {
                number = number * 26 + (codes[at + letter] - b'A') as usize;
                letter += 1;
            }
            table[number] = decimals;
            at += 4;
        }
        list += 1;
    }
    table
};

impl Currency {
    /// The currency of a code of ISO 4217 in capitals, in use now or within the last twenty years; `None` for any other text.
    pub fn known(code: &str) -> Option<Currency> {
        Currency::parse(code).filter(|currency| currency.decimals().is_some())
    }

    /// How many digits it has after its decimal point; `None` for what is no currency.
    pub fn decimals(self) -> Option<u32> {
        let decimals = DECIMALS.get(usize::try_from(self.number()).ok()?)?;
        (*decimals != NONE).then_some(u32::from(*decimals))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_have_their_decimals_and_other_words_none() {
        for (code, decimals) in
            [("EUR", 2), ("USD", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("AED", 2), ("ZWG", 2), ("XCG", 2), ("HRK", 2)]
        {
            assert_eq!(Currency::known(code).and_then(Currency::decimals), Some(decimals), "{code}");
        }
        for code in ["EUX", "AAA", "ZZZ", "XXX", "XTS", "XAU", "eur", "EU", "EURO", "E€", ""] {
            assert_eq!(Currency::known(code), None, "{code}");
        }
        let count = |lists: &[(u8, &str)]| lists.iter().map(|(_, codes)| codes.split(' ').count()).sum::<usize>();
        let known = DECIMALS.iter().filter(|decimals| **decimals != NONE).count();
        assert_eq!((count(&IN_USE), known), (165, 165 + count(&WITHDRAWN)), "each once");
    }
}
